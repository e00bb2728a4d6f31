import type { CastellanError } from '../../core/errors.js'
import type { Offset } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { positionsOf, Tail } from '../../http/api/tail.js'
import { browserRefusalOf, clientOf } from '../../http/exchange/client.js'
import { noteWait } from '../../http/exchange/exchange.js'
import { recordParts } from '../../schemas/record-json.js'
import type { Verbs } from '../../verbs/verbs.js'
import { lineJson, type MessageOptions, messageOptionsOf } from './message-json.js'
import { DISABLED, NO_SUCH_TOPIC_TEXT, SHUTTING_DOWN_TEXT } from './pixy-answers.js'
import {
  allows,
  type PixyRequest,
  partitionList,
  type RouteParts,
  tailStart,
  textOf,
  type Values
} from './pixy-request.js'

/** The id of each event names all partitions that a tail follows. */
const MAX_PARTITIONS = 200

/** Clients that follow topics at the same time; one client has at most about half of them. */
const MAX_TAILS = 100

type Follow = Parameters<Verbs['follow']>[1]

/** `GET /topics/{topic}/tail`: the messages of a topic as server-sent events, without a group. */
export class TailEndpoint {
  readonly #parts: RouteParts
  readonly #tails = new Map<Tail, PixyRequest>()
  readonly #shares: Shares
  #isStopped = false

  constructor(parts: RouteParts) {
    this.#parts = parts
    this.#shares = new Shares(MAX_TAILS, 'tails')
  }

  get openTails(): number {
    return this.#tails.size
  }

  /** @throws ApiError when a parameter is wrong, or the tail cannot begin */
  tail(request: PixyRequest): void {
    const { access, settings, schemas } = this.#parts
    const { exchange, topic, query } = request
    const options = this.#optionsOf(request)
    const message = messageOptionsOf(query.values, schemas)
    if (!allows(this.#parts, request, 'follow', { topic }, browserRefusalOf(exchange.request))) return
    if (settings.consumerDisabled) throw new ApiError(503, DISABLED)
    if (this.#isStopped) throw new ApiError(503, SHUTTING_DOWN_TEXT)
    const client = clientOf(exchange.request, access.callerOf(exchange.request))
    const problem = this.#shares.problemOf(client)
    const whose = problem === 'greedy' ? ' of one client' : ''
    if (problem !== undefined) throw new ApiError(429, `too many tails${whose} (limit ${MAX_TAILS})`)
    this.#open(request, options, message, this.#shares.take(client))
  }

  /** Ends all tails; their clients connect again, to another process. */
  stop(): void {
    this.#isStopped = true
    for (const [tail, { exchange }] of this.#tails) {
      tail.end()
      // Does nothing where it has begun.
      this.#parts.answers.error(exchange, 503, SHUTTING_DOWN_TEXT)
    }
  }

  #optionsOf({ exchange, query: { values } }: PixyRequest): Follow {
    const timeoutMs = LOOK_UP_TIMEOUT_MS
    const positions = positionsIn(exchange.request.headers['last-event-id'])
    const { data: from, error } = tailStart.safeParse(values.get('from')?.[0])
    if (error !== undefined) throw new ApiError(400, error.issues[0]!.message)
    // Partitions that were added while the client was away are read from their beginning.
    const start = positions.size > 0 ? 'earliest' : from
    return { partitions: partitionsIn(values), maxPartitions: MAX_PARTITIONS, timeoutMs, from: start, positions }
  }

  #open(request: PixyRequest, options: Follow, message: MessageOptions, release: () => void): void {
    const { exchange, verbs, topic } = request
    const { access, answers, records } = this.#parts
    const caller = access.callerOf(exchange.request)
    noteWait(exchange.request, Number.POSITIVE_INFINITY)
    const tail = new Tail(exchange, {
      caller,
      records,
      client: clientOf(exchange.request, caller),
      dataOf: (partition, record) => {
        if (message.schemas === undefined) return lineJson({ partition, ...record }, message)
        const json = recordParts(message.schemas, record, false, clientOf(exchange.request, caller))
        // The bytes of a batch may not outlive the call.
        const headers = record.headers.map(({ key, value }) => ({ key, value: value && Buffer.from(value) }))
        return json.then(json => lineJson({ partition, ...record, headers }, message, json))
      },
      broken: error => this.#parts.fail(request, error),
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
    verbs.follow(topic, options, tail).then(
      following => tail.follows(following),
      error => this.#parts.fail(request, refusalOf(error))
    )
  }
}

/** A topic or partition that is not there is told otherwise than by requests that look them up. */
function refusalOf(error: unknown): unknown {
  const { code, message } = error as CastellanError
  if (code === 'unknownTopic') return new ApiError(404, NO_SUCH_TOPIC_TEXT)
  return code === 'unknownPartition' || code === 'invalidRequest' ? new ApiError(400, message) : error
}

function positionsIn(id: string | string[] | undefined): ReadonlyMap<number, Offset> {
  if (id === undefined || id === '') return new Map()
  const positions = typeof id === 'string' ? positionsOf(id) : undefined
  if (positions === undefined) throw new ApiError(400, 'bad Last-Event-ID')
  return positions
}

/** `partition=0,3` and `partition=0&partition=3`. @throws ApiError when one is no number */
function partitionsIn(values: Values): readonly number[] | undefined {
  const given = values.get('partition')
  if (given === undefined) return undefined
  const text = given.map(textOf).join(',')
  if (!partitionList.safeParse(text).success) throw new ApiError(400, `bad partition: ${text}`)
  return text.split(',').map(Number)
}
