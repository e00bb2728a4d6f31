import { randomUUID } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type {
  Gateway,
  InstanceName,
  InstancePosition,
  InstanceRecord,
  InstanceSettings
} from '../../gateway/gateway.js'
import { admits, answerWork, fail, type Params } from '../../http/api/endpoint.js'
import { type InstanceApi, InstanceRoutes, MAX_ANSWER_BYTES, queryOf } from '../../http/api/instance-routes.js'
import type { UndecodableRecords } from '../../http/api/undecodable.js'
import { browserRefusalOf } from '../../http/exchange/client.js'
import { type Exchange, hasBody, sentUrlOf } from '../../http/exchange/exchange.js'
import { commitBody, consumerBody, offsetsBody, partitionsBody, topicsBody } from './operations.js'
import type { StrimziSettings } from './settings.js'
import {
  checked,
  type EndpointParts,
  type Format,
  ProblemError,
  RECORD_TYPES,
  schemaProblem,
  V2_TYPE,
  withJson,
  withoutBody,
  wrongType
} from './strimzi-answers.js'

const API = 'strimzi'
const FORMATS: readonly Format[] = ['binary', 'json', 'text']
const AUTO_COMMIT_MS = 5_000
const POLL_MS = 100
/** The longest wait of a read, whatever `timeout` says. */
const MAX_WAIT_MS = 10 * 60_000
const DEFAULT_PORTS: ReadonlyMap<string, number> = new Map([
  ['http', 80],
  ['https', 443]
])

const exclusive = (): ProblemError =>
  new ProblemError(409, 'Subscriptions to topics, partitions, and patterns are mutually exclusive.')
const noAssignments = (): ProblemError =>
  new ProblemError(500, 'Consumer is not subscribed to any topics or assigned any partitions')

export interface ConsumersOptions {
  readonly settings: StrimziSettings
  readonly undecodable: UndecodableRecords
  /** Whether a peer is a proxy that may say how clients reach it. */
  readonly isTrustedProxy: (address: string) => boolean
}

const apiOf = (parts: EndpointParts): InstanceApi => ({
  name: API,
  noun: 'consumer',
  group: 'groupid',
  instance: 'name',
  withBody(exchange, group, body, use) {
    if (!admits(parts, exchange, 'consume', { group })) return
    if (body === 'noBody') withoutBody(parts, exchange, () => use(undefined))
    else {
      withJson(parts, exchange, V2_TYPE, json => {
        if (body === 'needsBody' && json === undefined) {
          throw new ProblemError(400, 'Validation error on: the body is missing')
        }
        use(json)
      })
    }
  },
  work(exchange, work) {
    answerWork(parts, exchange, async () => {
      const result = await work()
      if (result === undefined) parts.answers.noContent(exchange)
      else parts.answers.ok(exchange, result)
    })
  },
  unknown: () => new ProblemError(404, 'The specified consumer instance was not found.'),
  illegalState: message => new ProblemError(409, message),
  otherFormat: () =>
    new ProblemError(406, 'Consumer format does not match the embedded format requested by the Accept header.'),
  failed: error => error,
  unavailable: message => new ProblemError(503, message),
  forbidden: error => error,
  unreadable: message => new ProblemError(406, `Failed to decode: ${message}`),
  unreadableCode: 406,
  invalid: message => new ProblemError(400, `Validation error on: ${message}`)
})

export function consumerRoutes(
  parts: EndpointParts,
  gateway: Pick<Gateway, 'instances'>,
  { settings, isTrustedProxy, undecodable }: ConsumersOptions
) {
  const api = apiOf(parts)
  const routes = new InstanceRoutes(api, gateway, parts.access, undecodable)

  async function poll(exchange: Exchange, instance: InstanceName): Promise<void> {
    const { request } = exchange
    const query = queryOf(sentUrlOf(request))
    const timeoutMs = wholeIn(query, 'timeout') ?? POLL_MS
    const maxBytes = Math.min(wholeIn(query, 'max_bytes') ?? MAX_ANSWER_BYTES, MAX_ANSWER_BYTES)
    const accepted = request.headers.accept?.trim().toLowerCase()
    const formats = FORMATS.filter(format => RECORD_TYPES[format] === accepted)
    const read = await routes.read(exchange, instance, {
      timeoutMs,
      maxBytes,
      formats,
      membersOf: timestampAndHeadersOf,
      illegalState: noAssignments
    })
    if (read) parts.answers.send(exchange, 200, read.body, { type: RECORD_TYPES[read.format as Format] })
  }

  async function seek(exchange: Exchange, instance: InstanceName, positions: readonly InstancePosition[]) {
    const topics = positions.map(({ topic }) => topic)
    routes.require(exchange, instance, topics)
    const result = await gateway.instances.seek(instance, positions)
    if (result.type !== 'illegalState') return routes.done(result)
    const assigned = routes.done(await gateway.instances.assignment(instance))
    const missing = positions.find(
      ({ topic, partition }) => !assigned.some(one => one.topic === topic && one.partition === partition)
    )
    const { topic, partition } = missing ?? positions[0]!
    throw new ProblemError(404, `No current assignment for partition ${topic}-${partition}`)
  }

  const seekTo = (position: 'beginning' | 'end') =>
    routes.verb('needsBody', (instance, json, exchange) => {
      const { partitions } = checked(json, partitionsBody)
      const positions = partitions.map(place => ({ ...place, position }))
      return seek(exchange, instance, positions)
    })

  const receivers = {
    createConsumer(exchange: Exchange, { groupid: groupId = '' }: Params): void {
      api.withBody(exchange, groupId, 'mayHaveBody', json => {
        const body = checked(json ?? {}, consumerBody)
        const wanted = settingsOf(body, settings)
        const name = body.name ?? `${settings.bridgeId ?? 'kafka-bridge-consumer'}-${randomUUID()}`
        api.work(exchange, async () => {
          const instance = routes.named(exchange, { groupid: groupId, name })
          if (!(await routes.create(exchange, instance, wanted))) {
            const message = 'A consumer instance with the specified name already exists in the Kafka Bridge.'
            throw new ProblemError(409, message)
          }
          const address = addressOf(exchange, isTrustedProxy)
          return { instance_id: name, base_uri: `${address}/instances/${encodeURIComponent(name)}` }
        })
      })
    },
    deleteConsumer: routes.verb('noBody', async instance => routes.done(await gateway.instances.remove(instance))),
    subscribe: routes.verb('needsBody', async (instance, json, exchange) => {
      const { topics, topic_pattern: pattern } = checked(json, topicsBody)
      if (topics !== undefined && pattern !== undefined) throw exclusive()
      if (topics !== undefined) await routes.subscribe(exchange, instance, { topics }, exclusive)
      else if (pattern !== undefined) await routes.subscribe(exchange, instance, { pattern }, exclusive)
      else throw new ProblemError(422, 'A list (of Topics type) or a topic_pattern must be specified.')
    }),
    /** The topics of the subscription, and the partitions that are read now. */
    listSubscriptions: routes.verb('noBody', async instance => {
      const { subscription, assignment } = routes.done(await gateway.instances.describe(instance))
      const byTopic = new Map<string, number[]>()
      for (const { topic, partition } of assignment) {
        byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition])
      }
      const partitions = [...byTopic].map(([topic, numbers]) => ({ [topic]: numbers }))
      return { topics: [...new Set([...subscription, ...byTopic.keys()])], partitions }
    }),
    unsubscribe: routes.verb('noBody', async instance => routes.done(await gateway.instances.unsubscribe(instance))),
    assign: routes.verb('needsBody', async (instance, json, exchange) => {
      const { partitions } = checked(json, partitionsBody)
      const topics = partitions.map(({ topic }) => topic)
      routes.require(exchange, instance, topics)
      routes.done(await gateway.instances.assign(instance, partitions), exclusive)
    }),
    seek: routes.verb('needsBody', (instance, json, exchange) => {
      const { offsets } = checked(json, offsetsBody)
      const positions = offsets.map(({ offset, ...place }) => ({ ...place, position: offset }))
      return seek(exchange, instance, positions)
    }),
    seekToBeginning: seekTo('beginning'),
    seekToEnd: seekTo('end'),
    /** Offsets are stored as they are given. */
    commit: routes.verb('mayHaveBody', async (instance, json, exchange) => {
      const { offsets } = checked(json ?? {}, commitBody)
      const topics = (offsets ?? []).map(({ topic }) => topic)
      routes.require(exchange, instance, topics, 'offsets')
      const given = offsets?.map(offset => ({ ...offset, metadata: '' }))
      routes.done(await gateway.instances.commit(instance, given ?? 'accepted'))
    }),
    poll(exchange: Exchange, params: Params): void {
      const refusal = browserRefusalOf(exchange.request)
      const instance = routes.named(exchange, params)
      if (refusal !== undefined) parts.answers.refuse(exchange, refusal, !hasBody(exchange))
      else if (admits(parts, exchange, 'consume', { group: instance.groupId })) {
        poll(exchange, instance).catch(error => fail(parts, exchange, error))
      }
    }
  }
  return { receivers, stop: () => routes.stop() }
}

/** @throws ProblemError */
function settingsOf(body: ReturnType<typeof bodyOf>, { startFrom, instanceIdleMs }: StrimziSettings): InstanceSettings {
  const format = oneOf('format', body.format, FORMATS) ?? 'binary'
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
function addressOf({ request }: Exchange, isTrustedProxy: ConsumersOptions['isTrustedProxy']): string {
  const { headers, socket } = request
  let scheme = (socket as TLSSocket).encrypted === true ? 'https' : 'http'
  let host = headers.host ?? `${socket.localAddress}:${socket.localPort}`
  let path = ((request as { originalUrl?: string }).originalUrl ?? sentUrlOf(request)).replace(/[?#].*$/, '')
  if (isTrustedProxy(socket.remoteAddress ?? '')) {
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
