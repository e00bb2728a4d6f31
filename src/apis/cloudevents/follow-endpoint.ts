import { BudgetWait } from '../../core/budget-wait.js'
import { memoryOfRecord } from '../../core/bytes.js'
import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from '../../core/record-budget.js'
import { Shares } from '../../core/shares.js'
import type { Caller } from '../../http/access/access.js'
import type { ApiContext } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import { type EventData, idOf, Tail } from '../../http/api/tail.js'
import { clientOf } from '../../http/exchange/client.js'
import { type Exchange, noteWait } from '../../http/exchange/exchange.js'
import { holdUntilLeft } from '../../http/exchange/leaving-records.js'
import { returnedHeadersOf } from '../../http/exchange/record-headers.js'
import type { FollowOptions, FollowSink, ReadSubscription, Verbs } from '../../verbs/verbs.js'
import type { EventAnswers, EventParts } from './event-answers.js'
import { eventIn, jsonOf, memoryOf, toEventData } from './event-output.js'
import {
  answerEvents,
  type FoundEvent,
  followOptionsOf,
  foundIn,
  MAX_EVENT_BYTES,
  Query,
  type ReturnedHeaders,
  STOPPING,
  type WantedEvents,
  wantedOf
} from './read-request.js'

/** A reader of a topic, and what ends its subscription. */
type Follower = FollowSink & { follows(subscription: ReadSubscription): void }

/** Clients that read without a group at the same time; one client has about half of them. */
const MAX_READERS = 200
/** A record is read only while so many bytes are free. */
const MIN_FREE_BYTES = 64 * 1024
/** How long to wait for the first event, from when the positions are known. */
const DEFAULT_WAIT_MS = 3_000

/** `GET /{topic}?from=…` and `GET /{topic}/tail`. */
export class FollowEndpoint {
  readonly #parts: EventParts
  readonly #verbs: Verbs
  readonly #records: RecordBudget
  readonly #shares = new Shares(MAX_READERS, 'readers of events')
  /** Functions that end the open requests when the process stops. */
  readonly #open = new Set<() => void>()
  #isStopped = false

  constructor(parts: EventParts, { verbs, records }: ApiContext<unknown>) {
    this.#parts = parts
    this.#verbs = verbs
    this.#records = records
  }

  /** A client that waits for the first events behind a place. @throws ApiError */
  poll(exchange: Exchange, topic: string, from: string, query: Query): void {
    const options = followOptionsOf(query, from)
    const wanted = wantedOf(exchange, query)
    const { access, answers } = this.#parts
    const caller = access.callerOf(exchange.request)
    const release = this.#enter(exchange)
    noteWait(exchange.request, wanted.timeoutMs ?? DEFAULT_WAIT_MS)
    const events = new FirstEvents(exchange, wanted, caller, answers, this.#records)
    const stop = (): void => events.ended(STOPPING)
    this.#open.add(stop)
    exchange.response.once('close', () => {
      events.end()
      this.#open.delete(stop)
      release()
    })
    caller.watch('consume', { topic }, error => events.ended(error))
    this.#follow(topic, options, events, error => events.ended(error))
  }

  /** @throws ApiError */
  tail(exchange: Exchange, { topic = '' }: Params): void {
    const { access, answers } = this.#parts
    const { request } = exchange
    const query = new Query(request)
    const id = request.headers['last-event-id']
    const from = typeof id === 'string' && id !== '' ? id : (query.text('from') ?? 'latest')
    const options = followOptionsOf(query, from)
    const caller = access.callerOf(request)
    const release = this.#enter(exchange)
    noteWait(request, Number.POSITIVE_INFINITY)
    const tail = new Tail(exchange, {
      caller,
      records: this.#records,
      client: clientOf(request, caller),
      dataOf: (_, record) => eventDataIn(record),
      broken: error => this.#failed(exchange, error),
      onOver: () => {
        this.#open.delete(stop)
        release()
      }
    })
    const stop = (): void => {
      tail.end()
      // Does nothing where the stream has begun.
      this.#failed(exchange, STOPPING)
    }
    this.#open.add(stop)
    caller.watch('consume', { topic }, error => {
      tail.ended(error)
      answers.fail(exchange, error)
    })
    this.#follow(topic, options, tail, error => this.#failed(exchange, error))
  }

  /** Ends all of them; their clients connect again, to another process. */
  stop(): void {
    this.#isStopped = true
    for (const stop of this.#open) stop()
  }

  /** @returns what releases the place of the client. @throws ApiError when there is none for it */
  #enter({ request }: Exchange): () => void {
    if (this.#isStopped) throw new ApiError(503, STOPPING.message)
    const client = clientOf(request, this.#parts.access.callerOf(request))
    const problem = this.#shares.problemOf(client)
    if (problem === undefined) return this.#shares.take(client)
    const whose = problem === 'greedy' ? ' of one client' : ''
    throw new ApiError(429, `too many requests${whose} read without a group (limit ${MAX_READERS})`)
  }

  #follow(topic: string, options: FollowOptions, sink: Follower, failed: (error: unknown) => void): void {
    this.#verbs.follow(topic, options, sink).then(subscription => sink.follows(subscription), failed)
  }

  #failed(exchange: Exchange, error: unknown): void {
    this.#parts.answers.fail(exchange, problemOf(error, this.#parts.answers))
  }
}

function eventDataIn(record: KafkaRecord): EventData | undefined {
  const event = eventIn(record)
  return event === undefined ? undefined : toEventData(jsonOf(event))
}

/** @param error also the reason why reading has ended */
const problemOf = (error: unknown, answers: EventAnswers): Error =>
  error instanceof Error ? error : answers.problemOf(error as Parameters<FollowSink['ended']>[0])

/** Collects the first events behind a place, for a client that is answered once. */
class FirstEvents implements Follower {
  readonly #exchange: Exchange
  readonly #wanted: WantedEvents
  readonly #caller: Caller
  readonly #answers: EventAnswers
  readonly #found: FoundEvent[] = []
  readonly #budget: RecordBudget
  readonly #client: string
  readonly #held: HeldRecords
  /** Waits for free bytes when there are none and no event was found yet; reading then goes on. */
  readonly #budgetWait: BudgetWait
  /** Size of the events as records or as JSON, whichever is greater. */
  #eventBytes = 0
  /** Number of records that were read, those included that are no events. */
  #records = 0
  #bytes = 0
  #positions: ReadonlyMap<number, Offset> = new Map()
  #subscription: ReadSubscription | undefined
  #timer: NodeJS.Timeout | undefined
  #warning: string | undefined
  #isOver = false

  constructor(exchange: Exchange, wanted: WantedEvents, caller: Caller, answers: EventAnswers, records: RecordBudget) {
    this.#exchange = exchange
    this.#wanted = wanted
    this.#caller = caller
    this.#answers = answers
    this.#budget = records
    this.#client = clientOf(exchange.request, caller) ?? NAMELESS
    this.#held = records.hold(0, this.#client)
    this.#budgetWait = new BudgetWait({ records, client: this.#client, goOn: () => this.#subscription?.resume() })
    exchange.response.once('close', () => this.#held.release())
  }

  follows(subscription: ReadSubscription): void {
    this.#subscription = subscription
    if (this.#isOver) subscription.stop()
  }

  begins(from: ReadonlyMap<number, Offset>): void {
    if (this.#isOver) return
    this.#positions = from
    this.#timer = setTimeout(() => this.#answer(), this.#wanted.timeoutMs ?? DEFAULT_WAIT_MS)
  }

  get isFull(): boolean {
    const isEnough = this.#found.length >= this.#wanted.count || this.#eventBytes >= MAX_EVENT_BYTES
    return this.#isOver || isEnough || !this.#hasBytes
  }

  get #hasBytes(): boolean {
    if (this.#found.length === 0) return this.#budgetWait.has(MIN_FREE_BYTES)
    return this.#budget.problemOf(this.#client, MIN_FREE_BYTES) === undefined
  }

  take(partition: number, record: KafkaRecord): void {
    let [jsonBytes, madeBytes] = [0, 0]
    try {
      const event = eventIn(record)
      const place = { partition, offset: record.offset, headers: record.headers }
      const returned: ReturnedHeaders = headers => returnedHeadersOf(this.#exchange.request, headers)
      if (event !== undefined) {
        const found = foundIn(event, place, this.#wanted.mode, returned)
        jsonBytes = found.output.body.length
        madeBytes = memoryOf(found.output.body)
        this.#found.push(found)
      }
    } catch (error) {
      this.ended(error)
      return
    }
    this.#records++
    this.#bytes += sizeOfRecord(record)
    const recordBytes = memoryOfRecord(record)
    this.#eventBytes += Math.max(recordBytes, jsonBytes)
    // The answer has a copy.
    this.#held.add(Math.max(recordBytes, madeBytes))
  }

  flush(): void {
    if (this.#found.length > 0 || (this.isFull && !this.#budgetWait.isWaiting)) this.#answer()
  }

  warn(text: string): void {
    this.#warning ??= text
  }

  /** @param why an error, or why reading has ended */
  ended(why: unknown): void {
    if (this.end()) this.#answers.fail(this.#exchange, problemOf(why, this.#answers))
  }

  /** Ends the wait without an answer. @returns false: it was over already */
  end(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#budgetWait.end()
    this.#subscription?.stop()
    return true
  }

  #answer(): void {
    const lacksBytes = this.#budgetWait.isWaiting
    if (!this.end()) return
    if (lacksBytes) {
      this.#answers.fail(this.#exchange, this.#budget.refusal(this.#budget.problemOf(this.#client, 1) ?? 'full'))
      return
    }
    const skipped = this.#records - this.#found.length
    const beside = { skipped, next: idOf(this.#positions), warning: this.#warning }
    try {
      this.#caller.spend(this.#records, this.#bytes)
      holdUntilLeft(this.#exchange.response, this.#budget, this.#held)
      answerEvents(this.#answers, this.#exchange, this.#wanted.mode, this.#found, beside)
    } catch (error) {
      // The error must not reach the reader of the topic, or the timer.
      this.#answers.fail(this.#exchange, problemOf(error, this.#answers))
    }
  }
}
