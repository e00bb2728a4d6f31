import { CastellanError } from '../../core/errors.js'
import type { Offset } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import type { Gateway } from '../../gateway/gateway.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { positionsOf, Tail } from '../../http/api/tail.js'
import { browserRefusalOf, clientOf } from '../../http/exchange/client.js'
import { recordJson } from '../../schemas/record-json.js'
import { lineJson, messageOptionsOf } from './message-json.js'
import { DISABLED, NO_SUCH_TOPIC, SHUTTING_DOWN } from './pixy-answers.js'
import {
  ParameterError,
  type PixyRequest,
  partitionList,
  type RouteParts,
  tailStart,
  textOf,
  type Values
} from './pixy-request.js'
import type { KafkaPixySettings } from './settings.js'

/** The id of each event names all partitions that a tail follows. */
const MAX_PARTITIONS = 200

/** Clients that follow topics at the same time; one client has at most about half of them. */
const MAX_TAILS = 100

type Follow = Parameters<Gateway['follow']>[1]

/** `GET /topics/{topic}/tail`: the messages of a topic as server-sent events, without a group. */
export class TailEndpoint {
  readonly #settings: KafkaPixySettings
  readonly #parts: RouteParts
  readonly #tails = new Map<Tail, PixyRequest>()
  readonly #shares: Shares
  #isStopped = false

  constructor(settings: KafkaPixySettings, parts: RouteParts) {
    this.#settings = settings
    this.#shares = new Shares(MAX_TAILS)
    this.#parts = parts
  }

  get openTails(): number {
    return this.#tails.size
  }

  tail(request: PixyRequest): void {
    const { access, answers } = this.#parts
    const { exchange, topic } = request
    const { consumerDisabled } = this.#settings
    const options = this.#optionsOf(request)
    const refusal =
      browserRefusalOf(exchange.request) ?? access.callerOf(exchange.request).refusalOf('consume', { topic })
    if (typeof options === 'string') answers.error(exchange, 400, options)
    else if (refusal !== undefined) answers.refuse(exchange, refusal, true)
    else if (consumerDisabled) answers.error(exchange, 503, DISABLED)
    else if (this.#isStopped) answers.error(exchange, 503, SHUTTING_DOWN)
    else {
      const problem = this.#shares.problemOf(this.#clientOf(request))
      const whose = problem === 'greedy' ? ' of one client' : ''
      if (problem === undefined) this.#open(request, options)
      else answers.error(exchange, 429, `too many tails${whose} (limit ${MAX_TAILS})`)
    }
  }

  /** Ends all tails; their clients connect again, to another process. */
  stop(): void {
    this.#isStopped = true
    for (const [tail, { exchange }] of this.#tails) {
      tail.end()
      // Does nothing where it has begun.
      this.#parts.answers.error(exchange, 503, SHUTTING_DOWN)
    }
  }

  /** Returns a text if something is wrong with the request. */
  #optionsOf({ exchange, query: { values } }: PixyRequest): Follow | string {
    const id = exchange.request.headers['last-event-id']
    const positions = idIn(id)
    if (positions === undefined) return 'bad Last-Event-ID'
    const { data: from, error } = tailStart.safeParse(values.get('from')?.[0])
    if (error !== undefined) return error.issues[0]!.message
    try {
      messageOptionsOf(values, this.#parts.schemas)
      // Partitions that were added while the client was away are read from their beginning.
      const start = positions.size > 0 ? 'earliest' : from
      return {
        partitions: partitionsIn(values),
        maxPartitions: MAX_PARTITIONS,
        timeoutMs: LOOK_UP_TIMEOUT_MS,
        from: start,
        positions
      }
    } catch (error) {
      if (error instanceof ParameterError) return error.message
      throw error
    }
  }

  #clientOf({ exchange: { request } }: PixyRequest): string | undefined {
    return clientOf(request, this.#parts.access.callerOf(request))
  }

  #open(request: PixyRequest, options: Follow): void {
    const release = this.#shares.take(this.#clientOf(request))
    const { exchange, gateway, topic, query } = request
    const { access, answers } = this.#parts
    const caller = access.callerOf(exchange.request)
    const message = messageOptionsOf(query.values, this.#parts.schemas)
    const { schemas } = message
    const tail = new Tail(exchange, {
      caller,
      dataOf: (partition, record) => {
        if (schemas === undefined) return lineJson({ partition, ...record }, message)
        const json = recordJson(schemas, record)
        if (!(json instanceof Promise)) return lineJson({ partition, ...record }, message, json)
        // The bytes of a batch may not outlive the call.
        const headers = record.headers.map(({ key, value }) => ({ key, value: value && Buffer.from(value) }))
        return json.then(json => lineJson({ partition, ...record, headers }, message, json))
      },
      broken: error => this.#parts.broken(request, error),
      onOver: () => {
        this.#tails.delete(tail)
        release()
      }
    })
    this.#tails.set(tail, request)
    caller.watch('consume', { topic }, error => {
      tail.ended(error)
      // Does nothing where it has begun.
      answers.refuse(exchange, error, true)
    })
    gateway.follow(topic, options, tail).then(
      following => tail.follows(following),
      error => this.#failed(request, error)
    )
  }

  #failed(request: PixyRequest, error: unknown): void {
    const { answers } = this.#parts
    const { exchange, gateway } = request
    if (!(error instanceof CastellanError)) this.#parts.broken(request, error)
    else if (error.code === 'unknownTopic') answers.error(exchange, 404, NO_SUCH_TOPIC)
    else if (error.code === 'unknownPartition' || error.code === 'invalidRequest') {
      answers.error(exchange, 400, error.message)
    } else answers.failure(exchange, error, gateway.isReady)
  }
}

function idIn(header: string | string[] | undefined): ReadonlyMap<number, Offset> | undefined {
  if (header === undefined || header === '') return new Map()
  return typeof header === 'string' ? positionsOf(header) : undefined
}

/** `partition=0,3` and `partition=0&partition=3`. @throws ParameterError when one is no number */
function partitionsIn(values: Values): readonly number[] | undefined {
  const given = values.get('partition')
  if (given === undefined) return undefined
  const text = given.map(textOf).join(',')
  if (!partitionList.safeParse(text).success) throw new ParameterError(`bad partition: ${text}`)
  return text.split(',').map(Number)
}
