import { randomUUID } from 'node:crypto'
import type { Logger } from '../../../core/model.js'
import { shortened } from '../../../core/printable.js'
import type {
  Gateway,
  InstanceName,
  InstancePosition,
  InstanceRead,
  InstanceResult,
  InstanceSettings
} from '../../../gateway/gateway.js'
import { toError } from '../../../gateway/offsets.js'
import { writeRecordList } from '../../../http/api/record-list.js'
import { browserRefusalOf, clientOf } from '../../../http/exchange/client.js'
import { type Exchange, hasBody, sentUrlOf } from '../../../http/exchange/exchange.js'
import { traceOf } from '../../../http/exchange/trace.js'
import { callerOf, type EndpointParts, type Params, refusalOf } from '../endpoint-parts.js'
import { type Problem, problemOf, TOPIC_NOT_FOUND } from '../failures.js'
import { answerWork, lookUpProblemOf, ProblemError, readSmallBody } from '../look-up.js'
import {
  BINARY_TYPE,
  EMBEDDED_JSON_TYPE,
  embeddedTypeOf,
  errorTypeOf,
  isConsumerBody,
  recordTypesOf
} from '../media-types.js'
import { BodyError } from '../record-bytes.js'
import type { ConfluentSettings } from '../settings.js'
import { baseUrlOf, part } from '../v3/resources.js'
import { API, checked, jsonIn, readWanted, timestampIn } from './consumer-bodies.js'
import { commitBody, partitionsBody, positionsBody, subscriptionBody } from './consumer-operations.js'

/** Limit for the keys and values of one answer: writing them holds up other requests. The next read has the others. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024
/** The time limit in the texts of errors. */
const TIMEOUT_MS = 10_000

const UNSUPPORTED: Problem = {
  status: 415,
  code: 415,
  message: 'the content type must be application/vnd.kafka.v2+json'
}
const NO_INSTANCE: Problem = { status: 404, code: 40403, message: 'there is no such consumer instance' }
const NO_GROUP: Problem = { status: 404, code: 404, message: 'the path names no group' }
const NAME_TAKEN: Problem = { status: 409, code: 40902, message: 'the group has an instance of this name' }
const NO_PARTITIONS: Problem = {
  status: 404,
  code: 40402,
  message: 'name the partitions in a body, {"partitions":[{"topic":…,"partition":…}]}, or in the query'
}
const WRONG_FORMAT: Problem = {
  status: 406,
  code: 40601,
  message: 'the instance has another format than the one of Accept; without Accept it is binary'
}

export interface ConsumersOptions {
  readonly settings: ConfluentSettings['consumers']
  /** The prefix of the API on the shared port. */
  readonly prefix: string
  readonly log: Logger
}

/** What one route does with an instance; the result is the answer as JSON, `undefined` 204. */
type Verb = (instance: InstanceName, json: unknown, exchange: Exchange) => Promise<unknown>
/** `needsBody`: it is refused without one. `ofTopics`: the client needs the right to all topics that the instance reads. */
type Need = 'needsBody' | 'ofTopics'

const CHANGE = ['needsBody', 'ofTopics'] as const

/** The routes of consumer instances. */
export class ConsumersEndpoint {
  readonly #gateway: Pick<Gateway, 'instances'>
  readonly #options: ConsumersOptions
  readonly #parts: EndpointParts

  constructor(gateway: Pick<Gateway, 'instances'>, options: ConsumersOptions, parts: EndpointParts) {
    this.#gateway = gateway
    this.#options = options
    this.#parts = parts
  }

  /** `POST /consumers/{group}` */
  create(exchange: Exchange, { group = '' }: Params): void {
    if (group === '') {
      this.#parts.answers.error(exchange, NO_GROUP, { isRead: !hasBody(exchange) })
      return
    }
    this.#withBody(exchange, group, json => {
      const { settings, prefix, log } = this.#options
      const wanted = readWanted(json, settings)
      if (wanted.without.length > 0)
        log.warn({ group: shortened(group), settings: wanted.without }, 'settings of an instance have no effect')
      const id = settings.id === '' ? '' : `${settings.id}-`
      const name = wanted.name ?? `rest-consumer-${id}${randomUUID()}`
      this.#work(exchange, async () => {
        const client = clientOf(exchange.request, callerOf(this.#parts, exchange))
        const isNew = done(
          await this.#gateway.instances.create(this.#named(exchange, group, name), wanted.settings, client)
        )
        if (!isNew) throw new ProblemError(NAME_TAKEN)
        const base = settings.advertisedUrl?.replace(/\/+$/, '') ?? baseUrlOf(exchange.request, prefix)
        return { instance_id: name, base_uri: `${base}/consumers/${part(group)}/instances/${part(name)}` }
      })
    })
  }

  /** `DELETE` of an instance. */
  readonly remove = this.#verb(async instance => done(await this.#gateway.instances.remove(instance)), 'ofTopics')

  /** `POST …/subscription` */
  readonly subscribe = this.#verb(
    async (instance, json, exchange) => {
      const { topics, topic_pattern: pattern } = checked(json, subscriptionBody)
      const { instances } = this.#gateway
      const caller = callerOf(this.#parts, exchange)
      const group = instance.groupId
      if (topics) {
        for (const topic of topics) this.#require(exchange, topic, group)
        done(await instances.subscribe(instance, { topics }))
      } else if (pattern) {
        const includes = caller.isRuled
          ? (topic: string): boolean => caller.allows('consume', { topic, group })
          : undefined
        done(await instances.subscribe(instance, { pattern, includes }))
      }
    },
    ...CHANGE
  )

  readonly getSubscription = this.#verb(
    async instance => ({ topics: done(await this.#gateway.instances.subscription(instance)) }),
    'ofTopics'
  )

  readonly unsubscribe = this.#verb(
    async instance => done(await this.#gateway.instances.unsubscribe(instance)),
    'ofTopics'
  )

  /** `POST …/assignments` */
  readonly assign = this.#verb(
    async (instance, json, exchange) => {
      const partitions = partitionsIn(json)
      for (const { topic } of partitions) this.#require(exchange, topic, instance.groupId)
      done(await this.#gateway.instances.assign(instance, partitions))
    },
    ...CHANGE
  )

  readonly getAssignments = this.#verb(
    async instance => ({ partitions: done(await this.#gateway.instances.assignment(instance)) }),
    'ofTopics'
  )

  /** `POST …/positions` */
  readonly seek = this.#verb(async (instance, json, exchange) => {
    const { offsets, timestamps } = checked(json, positionsBody)
    const positions: InstancePosition[] = [
      ...(offsets ?? []).map(({ topic, partition, offset }) => ({
        topic,
        partition: Number(partition),
        position: Number(offset)
      })),
      ...(timestamps ?? []).map(({ topic, partition, timestamp }) => ({
        topic,
        partition: Number(partition),
        position: { timestampMs: timestampIn(timestamp) }
      }))
    ]
    await this.#seek(exchange, instance, positions)
  }, 'needsBody')

  readonly seekBeginning = this.#seekTo('beginning')
  readonly seekEnd = this.#seekTo('end')

  /** `POST …/offsets` */
  readonly commit = this.#verb(async (instance, json, exchange) => {
    const offsets = json === undefined ? undefined : checked(json, commitBody).offsets
    for (const { topic } of offsets ?? []) this.#require(exchange, topic, instance.groupId)
    // Clients name the last record that they have processed; Kafka stores the next one.
    const next = offsets?.map(({ topic, partition, offset, metadata }) => ({
      topic,
      partition: Number(partition),
      offset: Number(offset) + 1,
      metadata: metadata ?? ''
    }))
    done(await this.#gateway.instances.commit(instance, next ?? 'accepted'))
    return []
  }, 'ofTopics')

  /** `GET …/offsets` */
  readonly committed = this.#verb(async (instance, json, exchange) => {
    const partitions = json === undefined ? partitionsInQuery(exchange) : partitionsIn(json)
    for (const { topic } of partitions) this.#require(exchange, topic, instance.groupId)
    return { offsets: done(await this.#gateway.instances.committed(instance, partitions)) }
  })

  /** `GET …/records` */
  records(exchange: Exchange, { group = '', instance: name = '' }: Params): void {
    const { answers, broken } = this.#parts
    const { accept } = exchange.request.headers
    const type = errorTypeOfRecords(accept)
    const refusal = browserRefusalOf(exchange.request) ?? refusalOf(this.#parts, exchange, 'consume', { group })
    if (refusal !== undefined) {
      answers.refuse(exchange, refusal, !hasBody(exchange))
      return
    }
    this.#read(exchange, this.#named(exchange, group, name)).catch(error => {
      const problem = lookUpProblemOf(error)
      if (problem === undefined) broken(exchange, error)
      else answers.error(exchange, problem, { type })
    })
  }

  async #read(exchange: Exchange, instance: InstanceName): Promise<void> {
    const { instances } = this.#gateway
    const { request, response } = exchange
    const settings = await this.#settingsOf(instance)
    const isAsked = recordTypesOf(request.headers.accept).includes(typeOf(settings))
    if (!isAsked) throw new ProblemError(WRONG_FORMAT)
    const query = queryOf(exchange)
    const gone = new AbortController()
    let read: InstanceRead | undefined
    let count = 0
    const settle = (): void => {
      read?.settle(response.writableFinished ? count : 0)
      read = undefined
    }
    response.once('close', () => {
      gone.abort()
      settle()
    })
    const timeoutMs = Math.min(aboveZero(query.get('timeout')) ?? settings.maxWaitMs, settings.maxWaitMs)
    const maxBytes = Math.min(aboveZero(query.get('max_bytes')) ?? MAX_ANSWER_BYTES, MAX_ANSWER_BYTES)
    read = done(await instances.read(instance, { timeoutMs, maxBytes, gone: gone.signal, trace: traceOf(request) }))
    if (response.destroyed) {
      settle()
      return
    }
    // The instance may belong to a client that may read more than this one.
    for (const topic of new Set(read.records.map(record => record.topic)))
      this.#require(exchange, topic, instance.groupId)
    const written = writeRecordList(read.records, settings.format === 'json' ? 'json' : 'binary')
    callerOf(this.#parts, exchange).charge(written.count, written.bytes)
    if (written.count === 0 && written.poison) throw new ProblemError(poisonOf(written.poison))
    count = written.count
    this.#parts.answers.typed(exchange, typeOf(settings), written.body)
  }

  #seekTo(position: 'beginning' | 'end') {
    return this.#verb(async (instance, json, exchange) => {
      const positions = partitionsIn(json).map(partition => ({ ...partition, position }))
      await this.#seek(exchange, instance, positions)
    }, 'needsBody')
  }

  async #seek(exchange: Exchange, instance: InstanceName, positions: readonly InstancePosition[]): Promise<void> {
    for (const { topic } of positions) this.#require(exchange, topic, instance.groupId)
    done(await this.#gateway.instances.seek(instance, positions))
  }

  #named(exchange: Exchange, groupId: string, name: string): InstanceName {
    return { groupId, name, principal: callerOf(this.#parts, exchange).principal }
  }

  /** The handler of a route of one instance. */
  #verb(verb: Verb, ...needs: readonly Need[]): (exchange: Exchange, params: Params) => void {
    return (exchange, { group = '', instance: name = '' }) => {
      const instance = this.#named(exchange, group, name)
      this.#withBody(exchange, group, json => {
        this.#work(exchange, async () => {
          await this.#settingsOf(instance)
          if (needs.includes('needsBody') && json === undefined) throw new BodyError(422, 'the body is empty')
          if (needs.includes('ofTopics')) await this.#requireTopicsOf(instance, exchange)
          return verb(instance, json, exchange)
        })
      })
    }
  }

  /** @throws ProblemError when there is no such instance of this API */
  async #settingsOf(instance: InstanceName): Promise<InstanceSettings> {
    const settings = done(await this.#gateway.instances.settingsOf(instance))
    if (settings.api !== API) throw new ProblemError(NO_INSTANCE)
    return settings
  }

  /** @throws ProblemError when the client may not read one of the topics that the instance reads */
  async #requireTopicsOf(instance: InstanceName, exchange: Exchange): Promise<void> {
    if (!callerOf(this.#parts, exchange).isRuled) return
    const { instances } = this.#gateway
    const topics = new Set(done(await instances.subscription(instance)))
    for (const { topic } of done(await instances.assignment(instance))) topics.add(topic)
    for (const topic of topics) this.#require(exchange, topic, instance.groupId)
  }

  /** @throws ProblemError */
  #require(exchange: Exchange, topic: string, group: string): void {
    const refusal = refusalOf(this.#parts, exchange, 'consume', { topic, group })
    if (refusal !== undefined) throw new ProblemError({ status: 403, code: 40301, message: refusal.message })
  }

  /** Asks for permission, then reads the body. */
  #withBody(exchange: Exchange, group: string, use: (json: unknown) => void): void {
    const { answers } = this.#parts
    const { headers } = exchange.request
    const refusal = refusalOf(this.#parts, exchange, 'consume', { group })
    if (refusal !== undefined) {
      answers.refuse(exchange, refusal, !hasBody(exchange))
      return
    }
    if (hasBody(exchange) && !isConsumerBody(headers['content-type'])) {
      answers.error(exchange, UNSUPPORTED, { type: errorTypeOf(headers.accept), isRead: false })
      return
    }
    readSmallBody(this.#parts, exchange, bytes => use(jsonIn(bytes)))
  }

  #work(exchange: Exchange, work: () => Promise<unknown>): void {
    const { answers } = this.#parts
    answerWork(this.#parts, exchange, { version: 'v2' }, async () => {
      const result = await work()
      if (result === undefined) answers.noContent(exchange)
      else {
        const type = embeddedTypeOf(exchange.request.headers.accept)
        if (type === undefined) return result
        answers.typed(exchange, type, JSON.stringify(result))
      }
      return undefined
    })
  }
}

/** The value of a result. @throws ProblemError, CastellanError */
function done<Value>(result: InstanceResult<Value>): Value {
  switch (result.type) {
    case 'done':
      return result.value
    case 'unknownInstance':
      throw new ProblemError(NO_INSTANCE)
    case 'illegalState':
      throw new ProblemError({ status: 409, code: 40903, message: result.message })
    default: {
      const problem = problemOf(toError(result, 'the request to the instance', TIMEOUT_MS))
      // The code for what Kafka does not have is here that of a missing instance: a client would create it again.
      throw new ProblemError(problem.code === NO_INSTANCE.code ? { ...problem, code: TOPIC_NOT_FOUND } : problem)
    }
  }
}

const typeOf = ({ format }: InstanceSettings): string => (format === 'json' ? EMBEDDED_JSON_TYPE : BINARY_TYPE)

/** Errors have the first type that the client names, else that of binary records. */
const errorTypeOfRecords = (accept: string | undefined): string =>
  /application\/vnd\.kafka\.(?:json\.)?v2\+json/i.exec(accept ?? '')?.[0].toLowerCase() ?? BINARY_TYPE

function poisonOf({ topic, partition, offset }: { topic: string; partition: number; offset: number }): Problem {
  const message = `the record at offset ${offset} of ${topic}/${partition} is not JSON; set the position after it to skip it`
  return { status: 408, code: 40801, message }
}

const queryOf = (exchange: Exchange): URLSearchParams =>
  new URLSearchParams(sentUrlOf(exchange.request).split('?', 2)[1] ?? '')

const aboveZero = (text: string | null): number | undefined =>
  text && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined

/** The partitions in a body. @throws BodyError */
const partitionsIn = (json: unknown) =>
  checked(json, partitionsBody).partitions.map(({ topic, partition }) => ({ topic, partition: Number(partition) }))

/** @throws ProblemError when the query has none */
function partitionsInQuery(exchange: Exchange) {
  const query = queryOf(exchange)
  const topics = query.getAll('topic')
  const numbers = query.getAll('partition')
  const isComplete =
    topics.length > 0 && topics.length === numbers.length && numbers.every(text => /^\d{1,9}$/.test(text))
  if (!isComplete) throw new ProblemError(NO_PARTITIONS)
  return topics.map((topic, at) => ({ topic, partition: Number(numbers[at]) }))
}
