import { randomUUID } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type {
  Gateway,
  InstanceName,
  InstancePosition,
  InstanceRead,
  InstanceRecord,
  InstanceResult,
  InstanceSettings
} from '../../gateway/gateway.js'
import { toError } from '../../gateway/offsets.js'
import { admits, fail, type Params } from '../../http/api/endpoint.js'
import { writeRecordList } from '../../http/api/record-list.js'
import { browserRefusalOf, clientOf } from '../../http/exchange/client.js'
import { type Exchange, hasBody, sentUrlOf } from '../../http/exchange/exchange.js'
import { traceOf } from '../../http/exchange/trace.js'
import { answerWork, checked, type EndpointParts, withJson, withoutBody, wrongType } from './endpoint-parts.js'
import { commitBody, consumerBody, offsetsBody, partitionsBody, topicsBody } from './operations.js'
import type { StrimziSettings } from './settings.js'
import { type Format, ProblemError, RECORD_TYPES, schemaProblem, V2_TYPE } from './strimzi-answers.js'

/** The name of the API in the settings of an instance. */
const API = 'strimzi'
/** Kafka's defaults. */
const AUTO_COMMIT_MS = 5_000
const POLL_MS = 100
/** The longest wait of a read, whatever `timeout` says. */
const MAX_WAIT_MS = 10 * 60_000
/** Limit for the keys and values of one answer: writing them holds up other requests. The next read has the others. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024
/** The time limit in the texts of errors. */
const TIMEOUT_MS = 10_000
const DEFAULT_PORTS: ReadonlyMap<string, number> = new Map([
  ['http', 80],
  ['https', 443]
])

const NO_INSTANCE = 'The specified consumer instance was not found.'
const EXCLUSIVE = 'Subscriptions to topics, partitions, and patterns are mutually exclusive.'

export interface ConsumersOptions {
  readonly settings: Pick<StrimziSettings, 'bridgeId' | 'startFrom' | 'instanceIdleMs'>
  /** Whether a peer is a proxy that may say how clients reach it. */
  readonly isTrustedProxy: (address: string) => boolean
}

type Verb = (instance: InstanceName, json: unknown, exchange: Exchange) => Promise<unknown>
type Body = 'noBody' | 'needsBody' | 'mayHaveBody'

/** The routes of consumers. */
export class ConsumersEndpoint {
  readonly #parts: EndpointParts
  readonly #gateway: Pick<Gateway, 'instances'>
  /** Aborts the reads that are open. */
  readonly #open = new Set<AbortController>()
  readonly #options: ConsumersOptions

  constructor(parts: EndpointParts, gateway: Pick<Gateway, 'instances'>, options: ConsumersOptions) {
    this.#parts = parts
    this.#gateway = gateway
    this.#options = options
  }

  /** Ends all reads: the process stops. */
  stop(): void {
    for (const read of this.#open) read.abort()
  }

  /** `POST /consumers/{groupid}` */
  create(exchange: Exchange, { groupid: groupId = '' }: Params): void {
    const { access, answers } = this.#parts
    if (!admits(this.#parts, exchange, 'consume', { group: groupId })) return
    withJson(this.#parts, exchange, V2_TYPE, json => {
      const body = checked(json ?? {}, consumerBody)
      const settings = this.#settingsOf(body)
      const name = body.name ?? `${this.#options.settings.bridgeId ?? 'kafka-bridge-consumer'}-${randomUUID()}`
      answerWork(this.#parts, exchange, async () => {
        const client = clientOf(exchange.request, access.callerOf(exchange.request))
        if (!done(await this.#gateway.instances.create(this.#named(exchange, groupId, name), settings, client))) {
          throw new ProblemError(409, 'A consumer instance with the specified name already exists in the Kafka Bridge.')
        }
        const base_uri = `${this.#addressOf(exchange)}/instances/${encodeURIComponent(name)}`
        answers.ok(exchange, { instance_id: name, base_uri })
      })
    })
  }

  /** `DELETE …/instances/{name}` */
  readonly remove = this.#verb('noBody', async instance => done(await this.#gateway.instances.remove(instance)))

  /** `POST …/subscription` */
  readonly subscribe = this.#verb('needsBody', async (instance, json, exchange) => {
    const { topics, topic_pattern: pattern } = checked(json, topicsBody)
    const caller = this.#parts.access.callerOf(exchange.request)
    const { groupId: group } = instance
    const { instances } = this.#gateway
    if (topics !== undefined && pattern !== undefined) throw new ProblemError(409, EXCLUSIVE)
    if (topics !== undefined) {
      this.#require(exchange, group, topics)
      done(await instances.subscribe(instance, { topics }), () => new ProblemError(409, EXCLUSIVE))
    } else if (pattern !== undefined) {
      const includes = caller.isRuled ? (topic: string) => caller.allows('consume', { topic, group }) : undefined
      done(await instances.subscribe(instance, { pattern, includes }), () => new ProblemError(409, EXCLUSIVE))
    } else throw new ProblemError(422, 'A list (of Topics type) or a topic_pattern must be specified.')
  })

  /** `GET …/subscription`: the topics of the subscription, and the partitions that are read now. */
  readonly subscription = this.#verb('noBody', async instance => {
    const topics = done(await this.#gateway.instances.subscription(instance))
    const byTopic = new Map<string, number[]>()
    for (const { topic, partition } of done(await this.#gateway.instances.assignment(instance))) {
      byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition])
    }
    const partitions = [...byTopic].map(([topic, numbers]) => ({ [topic]: numbers }))
    return { topics: [...new Set([...topics, ...byTopic.keys()])], partitions }
  })

  /** `DELETE …/subscription` */
  readonly unsubscribe = this.#verb('noBody', async instance =>
    done(await this.#gateway.instances.unsubscribe(instance))
  )

  /** `POST …/assignments` */
  readonly assign = this.#verb('needsBody', async (instance, json, exchange) => {
    const { partitions } = checked(json, partitionsBody)
    this.#require(
      exchange,
      instance.groupId,
      partitions.map(({ topic }) => topic)
    )
    done(await this.#gateway.instances.assign(instance, partitions), () => new ProblemError(409, EXCLUSIVE))
  })

  /** `POST …/positions` */
  readonly seek = this.#verb('needsBody', (instance, json, exchange) => {
    const { offsets } = checked(json, offsetsBody)
    return this.#seek(
      exchange,
      instance,
      offsets.map(({ offset, ...place }) => ({ ...place, position: offset }))
    )
  })
  readonly seekToBeginning = this.#seekTo('beginning')
  readonly seekToEnd = this.#seekTo('end')

  /** `POST …/offsets`: offsets are stored as they are given. */
  readonly commit = this.#verb('mayHaveBody', async (instance, json, exchange) => {
    const { offsets } = checked(json ?? {}, commitBody)
    const { groupId: group } = instance
    const caller = this.#parts.access.callerOf(exchange.request)
    for (const { topic } of offsets ?? []) {
      const refusal = caller.refusalOf('offsets', { topic, group })
      if (refusal !== undefined) throw refusal
    }
    const given = offsets?.map(offset => ({ ...offset, metadata: '' }))
    done(await this.#gateway.instances.commit(instance, given ?? 'accepted'))
  })

  /** `GET …/records` */
  poll(exchange: Exchange, { groupid: groupId = '', name = '' }: Params): void {
    const refusal = browserRefusalOf(exchange.request)
    if (refusal !== undefined) this.#parts.answers.refuse(exchange, refusal, !hasBody(exchange))
    else if (admits(this.#parts, exchange, 'consume', { group: groupId })) {
      this.#poll(exchange, this.#named(exchange, groupId, name)).catch(error => fail(this.#parts, exchange, error))
    }
  }

  async #poll(exchange: Exchange, instance: InstanceName): Promise<void> {
    const { answers, access } = this.#parts
    const { request, response } = exchange
    const query = new URLSearchParams(sentUrlOf(request).split('?', 2)[1])
    const timeoutMs = wholeIn(query, 'timeout') ?? POLL_MS
    const maxBytes = Math.min(wholeIn(query, 'max_bytes') ?? MAX_ANSWER_BYTES, MAX_ANSWER_BYTES)
    const format = (await this.#require404(instance)).format as Format
    if (request.headers.accept?.trim().toLowerCase() !== RECORD_TYPES[format]) {
      const message = 'Consumer format does not match the embedded format requested by the Accept header.'
      throw new ProblemError(406, message)
    }
    const gone = new AbortController()
    this.#open.add(gone)
    let read: InstanceRead | undefined
    let accepted = 0
    const settle = (): void => {
      read?.settle(response.writableFinished ? accepted : 0)
      read = undefined
    }
    response.once('close', () => {
      gone.abort()
      settle()
    })
    try {
      const result = await this.#gateway.instances.read(instance, {
        timeoutMs,
        maxBytes,
        gone: gone.signal,
        trace: traceOf(request)
      })
      read = done(result, () => {
        return new ProblemError(500, 'Consumer is not subscribed to any topics or assigned any partitions')
      })
    } finally {
      this.#open.delete(gone)
    }
    if (response.destroyed) {
      settle()
      return
    }
    const { records } = read
    const caller = access.callerOf(request)
    this.#require(exchange, instance.groupId, new Set(records.map(({ topic }) => topic)))
    const written = writeRecordList(records, format, timestampAndHeadersOf)
    caller.charge(written.count, written.bytes)
    if (written.count === 0 && written.poison) throw unreadable(written.poison)
    accepted = written.count
    answers.send(exchange, 200, written.body, { type: RECORD_TYPES[format] })
  }

  #seekTo(position: 'beginning' | 'end') {
    return this.#verb('needsBody', (instance, json, exchange) => {
      const { partitions } = checked(json, partitionsBody)
      return this.#seek(
        exchange,
        instance,
        partitions.map(place => ({ ...place, position }))
      )
    })
  }

  async #seek(exchange: Exchange, instance: InstanceName, positions: readonly InstancePosition[]): Promise<void> {
    this.#require(
      exchange,
      instance.groupId,
      positions.map(({ topic }) => topic)
    )
    const { instances } = this.#gateway
    const result = await instances.seek(instance, positions)
    if (result.type !== 'illegalState') done(result)
    else {
      const assigned = done(await instances.assignment(instance))
      const missing = positions.find(
        ({ topic, partition }) => !assigned.some(one => one.topic === topic && one.partition === partition)
      )
      const { topic, partition } = missing ?? positions[0]!
      throw new ProblemError(404, `No current assignment for partition ${topic}-${partition}`)
    }
  }

  #named(exchange: Exchange, groupId: string, name: string): InstanceName {
    return { groupId, name, principal: this.#parts.access.callerOf(exchange.request).principal }
  }

  /** The handler of a route of one instance: answers the result of the verb, or 204. */
  #verb(kind: Body, verb: Verb): (exchange: Exchange, params: Params) => void {
    return (exchange, { groupid: groupId = '', name = '' }) => {
      if (!admits(this.#parts, exchange, 'consume', { group: groupId })) return
      const instance = this.#named(exchange, groupId, name)
      const run = (json: unknown): void => {
        if (kind === 'needsBody' && json === undefined) {
          throw new ProblemError(400, 'Validation error on: the body is missing')
        }
        answerWork(this.#parts, exchange, async () => {
          await this.#require404(instance)
          await this.#requireTopicsOf(instance, exchange)
          const result = await verb(instance, json, exchange)
          if (result === undefined) this.#parts.answers.noContent(exchange)
          else this.#parts.answers.ok(exchange, result)
        })
      }
      if (kind === 'noBody') withoutBody(this.#parts, exchange, () => run(undefined))
      else withJson(this.#parts, exchange, V2_TYPE, run)
    }
  }

  /** @throws ProblemError when there is no such instance of this API */
  async #require404(instance: InstanceName): Promise<InstanceSettings> {
    const settings = done(await this.#gateway.instances.settingsOf(instance))
    if (settings.api !== API) throw new ProblemError(404, NO_INSTANCE)
    return settings
  }

  /** @throws ForbiddenError when the client may not read one of the topics that the instance reads */
  async #requireTopicsOf(instance: InstanceName, exchange: Exchange): Promise<void> {
    if (!this.#parts.access.callerOf(exchange.request).isRuled) return
    const { instances } = this.#gateway
    const topics = new Set(done(await instances.subscription(instance)))
    for (const { topic } of done(await instances.assignment(instance))) topics.add(topic)
    this.#require(exchange, instance.groupId, topics)
  }

  /** @throws ForbiddenError when the client may not read one of these topics */
  #require(exchange: Exchange, group: string, topics: Iterable<string>): void {
    const caller = this.#parts.access.callerOf(exchange.request)
    for (const topic of topics) {
      const refusal = caller.refusalOf('consume', { topic, group })
      if (refusal !== undefined) throw refusal
    }
  }

  /** @throws ProblemError */
  #settingsOf(body: ReturnType<typeof bodyOf>): InstanceSettings {
    const { startFrom, instanceIdleMs } = this.#options.settings
    const format = oneOf('format', body.format, ['binary', 'json', 'text'] as const) ?? 'binary'
    const start = oneOf('auto.offset.reset', body['auto.offset.reset'], ['earliest', 'latest', 'none'] as const)
    oneOf('isolation.level', body['isolation.level'], ['read_committed', 'read_uncommitted'] as const)
    const minBytes = notNegative('fetch.min.bytes', body['fetch.min.bytes'])
    notNegative('consumer.request.timeout.ms', body['consumer.request.timeout.ms'])
    return {
      api: API,
      format,
      start: start ?? startFrom,
      autoCommitMs: body['enable.auto.commit'] === false ? undefined : AUTO_COMMIT_MS,
      minBytes: minBytes === undefined || minBytes <= 1 ? undefined : minBytes,
      maxWaitMs: MAX_WAIT_MS,
      maxBytes: MAX_ANSWER_BYTES,
      idleMs: instanceIdleMs
    }
  }

  /** The address of a request as its client has written it; a trusted proxy may say what that is. */
  #addressOf({ request }: Exchange): string {
    const { headers, socket } = request
    let scheme = (socket as TLSSocket).encrypted === true ? 'https' : 'http'
    let host = headers.host ?? `${socket.localAddress}:${socket.localPort}`
    let path = ((request as { originalUrl?: string }).originalUrl ?? sentUrlOf(request)).replace(/[?#].*$/, '')
    if (this.#options.isTrustedProxy(socket.remoteAddress ?? '')) {
      const header = (name: string): string | undefined => headers[name]?.toString().replace(/,.*$/, '').trim()
      path = header('x-forwarded-path') || path
      const forwarded = header('forwarded')
      const of = (key: string): string | undefined =>
        new RegExp(`(?:^|;)\\s*${key}="?([^;"]+)`, 'i').exec(forwarded ?? '')?.[1]
      const [proto, name] = forwarded
        ? [of('proto'), of('host')]
        : [header('x-forwarded-proto'), header('x-forwarded-host')]
      if (proto && name) [scheme, host] = [proto, name]
    }
    if (!/:\d+$/.test(host)) {
      const port = DEFAULT_PORTS.get(scheme)
      if (port === undefined) throw new ProblemError(500, `${scheme} is not a valid schema/proto.`)
      host += `:${port}`
    }
    return `${scheme}://${host}${path.replace(/\/+$/, '')}`
  }
}

const bodyOf = (json: unknown) => checked(json, consumerBody)

/** @throws ProblemError */
function oneOf<Value extends string>(name: string, text: string | undefined, all: readonly Value[]): Value | undefined {
  const found = all.find(value => value === text)
  if (text === undefined || found !== undefined) return found
  if (name === 'format') throw new ProblemError(422, 'Invalid format type.')
  const message = `Invalid value ${text.slice(0, 100)} for configuration ${name}: String must be one of: ${all.join(', ')}`
  throw new ProblemError(422, message)
}

/** @throws ProblemError */
function notNegative(name: string, number: number | undefined): number | undefined {
  if (number === undefined || number >= 0) return number
  throw new ProblemError(422, `Invalid value ${number} for configuration ${name}: Value must be at least 0`)
}

/** A number of a query. @throws ProblemError */
function wholeIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  if (!/^\d{1,15}$/.test(text)) throw schemaProblem(wrongType('string', 'integer'))
  return Number(text)
}

function unreadable({ topic, partition, offset }: { topic: string; partition: number; offset: number }): ProblemError {
  const message = `Failed to decode: the record at offset ${offset} of ${topic}/${partition} is not JSON; a seek behind it skips it`
  return new ProblemError(406, message)
}

/** The value of a result. @throws ProblemError, CastellanError */
function done<Value>(
  result: InstanceResult<Value>,
  ofState: (message: string) => ProblemError = message => new ProblemError(409, message)
): Value {
  switch (result.type) {
    case 'done':
      return result.value
    case 'unknownInstance':
      throw new ProblemError(404, NO_INSTANCE)
    case 'illegalState':
      throw ofState(result.message)
    default:
      throw toError(result, 'the request to the consumer', TIMEOUT_MS)
  }
}

const timestampAndHeadersOf = (record: InstanceRecord): string =>
  `,"timestamp":${record.timestampMs}${headersOf(record)}`

function headersOf({ headers }: InstanceRecord): string {
  if (headers === undefined || headers.length === 0) return ''
  const all = headers.map(({ key, value }) => ({
    key,
    value: value === null ? null : asBuffer(value).toString('base64')
  }))
  return `,"headers":${JSON.stringify(all)}`
}

const asBuffer = (bytes: Uint8Array | string): Buffer => Buffer.from(bytes as Uint8Array)
