import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import type { FollowOptions, FollowSink, Gateway, TopicSubscription } from '../../gateway/gateway.js'
import type { Params } from '../../http/api/endpoint.js'
import { idOf, Tail } from '../../http/api/tail.js'
import { clientOf } from '../../http/exchange/client.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { returnedHeadersOf } from '../../http/exchange/record-headers.js'
import type { ContentMode } from './content-types.js'
import { type EventParts, EventProblem } from './event-answers.js'
import { eventIn, jsonOf, toEventData } from './event-output.js'
import {
  answerEvents,
  type BesideEvents,
  type Found,
  followOptionsOf,
  foundIn,
  MAX_EVENT_BYTES,
  Query,
  type Returned,
  STOPPING,
  wantedOf
} from './read-request.js'

interface FollowPollOptions {
  readonly mode: ContentMode
  readonly count: number
  readonly returned: Returned
  /** How long to wait for the first event, from when the positions are known. */
  readonly timeoutMs: number
  /** @param records how many were read, events and others, and their bytes */
  readonly answer: (found: readonly Found[], beside: BesideEvents, records: number, bytes: number) => void
  /** @param problem an error: reading an event, or writing the answer, has failed by a bug */
  readonly fail: (problem: Parameters<FollowSink['ended']>[0] | Error) => void
}

/** A client without a group that waits for the first events behind a place. It is answered once. */
class FollowPoll implements FollowSink {
  readonly #options: FollowPollOptions
  readonly #found: Found[] = []
  #positions: ReadonlyMap<number, Offset> = new Map()
  #subscription: TopicSubscription | undefined
  #timer: NodeJS.Timeout | undefined
  #warning: string | undefined
  #records = 0
  #bytes = 0
  #isOver = false

  constructor(options: FollowPollOptions) {
    this.#options = options
  }

  follows(subscription: TopicSubscription): void {
    this.#subscription = subscription
    if (this.#isOver) subscription.stop()
  }

  begins(positions: ReadonlyMap<number, Offset>): void {
    if (this.#isOver) return
    this.#positions = positions
    this.#timer = setTimeout(() => this.#answer(), this.#options.timeoutMs)
  }

  get isFull(): boolean {
    return this.#isOver || this.#found.length >= this.#options.count || this.#bytes >= MAX_EVENT_BYTES
  }

  take(partition: number, record: KafkaRecord): void {
    const { mode, returned } = this.#options
    try {
      const event = eventIn(record)
      const { offset, headers } = record
      if (event !== undefined) this.#found.push(foundIn(event, { partition, offset, headers }, mode, returned))
    } catch (error) {
      if (this.stop()) this.#options.fail(error as Error)
      return
    }
    this.#records++
    this.#bytes += sizeOfRecord(record)
  }

  flush(): void {
    if (this.#found.length > 0 || this.isFull) this.#answer()
  }

  warn(text: string): void {
    this.#warning ??= text
  }

  ended(problem: Parameters<FollowSink['ended']>[0]): void {
    if (this.stop()) this.#options.fail(problem)
  }

  /** Ends the wait without an answer. @returns false: it was over already */
  stop(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#subscription?.stop()
    return true
  }

  #answer(): void {
    if (!this.stop()) return
    const skipped = this.#records - this.#found.length
    const next = idOf(this.#positions)
    const beside = { skipped, next, ...(this.#warning !== undefined && { warning: this.#warning }) }
    try {
      this.#options.answer(this.#found, beside, this.#records, this.#bytes)
    } catch (error) {
      // It must not reach the reader of the topic, or the timer.
      this.#options.fail(error as Error)
    }
  }
}

/** Clients that read without a group at the same time; one client has about half of them. */
const MAX_READERS = 200
const DEFAULT_WAIT_MS = 3_000
/** `GET /{topic}?from=…` and `GET /{topic}/tail`. */
export class FollowEndpoint {
  readonly #parts: EventParts
  readonly #gateway: Pick<Gateway, 'follow'>
  readonly #shares = new Shares(MAX_READERS)
  /** What ends each open request when the process stops. */
  readonly #open = new Set<() => void>()
  #isStopped = false

  constructor(parts: EventParts, gateway: Pick<Gateway, 'follow'>) {
    this.#parts = parts
    this.#gateway = gateway
  }

  /** @throws EventProblem */
  poll(exchange: Exchange, topic: string, from: string, query: Query): void {
    const options = followOptionsOf(query, from)
    const { mode, count, timeoutMs = DEFAULT_WAIT_MS } = wantedOf(exchange, query)
    const { access, answers } = this.#parts
    const { request, response } = exchange
    const caller = access.callerOf(request)
    const release = this.#enter(exchange)
    const poll = new FollowPoll({
      mode,
      count,
      timeoutMs,
      returned: headers => returnedHeadersOf(request, headers),
      answer: (found, beside, records, bytes) => {
        caller.charge(records, bytes)
        answerEvents(answers, exchange, mode, found, beside)
      },
      fail: problem => this.#failed(exchange, problem)
    })
    const stop = (): void => {
      if (poll.stop()) this.#failed(exchange, STOPPING)
    }
    this.#open.add(stop)
    response.once('close', () => {
      poll.stop()
      this.#open.delete(stop)
      release()
    })
    caller.watch('consume', { topic }, error => {
      if (poll.stop()) answers.fail(exchange, error)
    })
    this.#follow(topic, options, poll, error => {
      if (poll.stop()) this.#failed(exchange, error)
    })
  }

  /** @throws EventProblem */
  tail(exchange: Exchange, { topic = '' }: Params): void {
    const { access, answers } = this.#parts
    const { request } = exchange
    const query = new Query(request)
    const id = request.headers['last-event-id']
    const from = typeof id === 'string' && id !== '' ? id : (query.text('from') ?? 'latest')
    const options = followOptionsOf(query, from)
    const caller = access.callerOf(request)
    const release = this.#enter(exchange)
    const tail = new Tail(exchange, {
      caller,
      dataOf: (_, record) => {
        const event = eventIn(record)
        return event === undefined ? undefined : toEventData(jsonOf(event))
      },
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

  /** @returns what releases the place of the client. @throws EventProblem when there is none for it */
  #enter({ request }: Exchange): () => void {
    if (this.#isStopped) throw new EventProblem(503, STOPPING.message)
    const client = clientOf(request, this.#parts.access.callerOf(request))
    const problem = this.#shares.problemOf(client)
    if (problem === undefined) return this.#shares.take(client)
    const whose = problem === 'greedy' ? ' of one client' : ''
    throw new EventProblem(429, `too many requests${whose} read without a group (limit ${MAX_READERS})`)
  }

  #follow(
    topic: string,
    options: FollowOptions,
    sink: FollowSink & { follows(subscription: TopicSubscription): void },
    failed: (error: unknown) => void
  ): void {
    this.#gateway.follow(topic, options, sink).then(subscription => sink.follows(subscription), failed)
  }

  /** @param error also the reason why reading has ended */
  #failed(exchange: Exchange, error: unknown): void {
    const known = error instanceof Error ? error : EventProblem.of(error as Parameters<FollowSink['ended']>[0])
    this.#parts.answers.fail(exchange, known)
  }
}
