import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import type { Params } from '../../http/api/endpoint.js'
import { idOf, Tail } from '../../http/api/tail.js'
import { clientOf } from '../../http/exchange/client.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { returnedHeadersOf } from '../../http/exchange/record-headers.js'
import type { FollowOptions, FollowSink, TopicSubscription, Verbs } from '../../verbs/verbs.js'
import { type EventParts, EventProblem } from './event-answers.js'
import { eventIn, jsonOf, toEventData } from './event-output.js'
import {
  answerEvents,
  type Found,
  followOptionsOf,
  foundIn,
  MAX_EVENT_BYTES,
  Query,
  STOPPING,
  wantedOf
} from './read-request.js'

/** A reader of a topic, and what ends its subscription. */
type Follower = FollowSink & { follows(subscription: TopicSubscription): void }

/** Clients that read without a group at the same time; one client has about half of them. */
const MAX_READERS = 200
/** How long to wait for the first event, from when the positions are known. */
const DEFAULT_WAIT_MS = 3_000

/** `GET /{topic}?from=…` and `GET /{topic}/tail`. */
export class FollowEndpoint {
  readonly #parts: EventParts
  readonly #verbs: Pick<Verbs, 'follow'>
  readonly #shares = new Shares(MAX_READERS, 'readers of events')
  /** What ends each open request when the process stops. */
  readonly #open = new Set<() => void>()
  #isStopped = false

  constructor(parts: EventParts, verbs: Pick<Verbs, 'follow'>) {
    this.#parts = parts
    this.#verbs = verbs
  }

  /** A client that waits for the first events behind a place. It is answered once. @throws EventProblem */
  poll(exchange: Exchange, topic: string, from: string, query: Query): void {
    const options = followOptionsOf(query, from)
    const { mode, count, timeoutMs = DEFAULT_WAIT_MS } = wantedOf(exchange, query)
    const { access, answers } = this.#parts
    const { request, response } = exchange
    const caller = access.callerOf(request)
    const release = this.#enter(exchange)
    const found: Found[] = []
    let [records, bytes, isOver] = [0, 0, false]
    let positions: ReadonlyMap<number, Offset> = new Map()
    let subscription: TopicSubscription | undefined
    let timer: NodeJS.Timeout | undefined
    let warning: string | undefined
    /** Ends the wait without an answer. @returns false: it was over already */
    const end = (): boolean => {
      if (isOver) return false
      isOver = true
      clearTimeout(timer)
      subscription?.stop()
      return true
    }
    const fail = (error: unknown): void => {
      if (end()) this.#failed(exchange, error)
    }
    const answer = (): void => {
      if (!end()) return
      const beside = { skipped: records - found.length, next: idOf(positions), warning }
      try {
        caller.charge(records, bytes)
        answerEvents(answers, exchange, mode, found, beside)
      } catch (error) {
        // It must not reach the reader of the topic, or the timer.
        this.#failed(exchange, error)
      }
    }
    const poll: Follower = {
      follows(followed) {
        subscription = followed
        if (isOver) followed.stop()
      },
      begins(from) {
        if (isOver) return
        positions = from
        timer = setTimeout(answer, timeoutMs)
      },
      get isFull() {
        return isOver || found.length >= count || bytes >= MAX_EVENT_BYTES
      },
      take(partition: number, record: KafkaRecord) {
        try {
          const event = eventIn(record)
          const place = { partition, offset: record.offset, headers: record.headers }
          if (event !== undefined)
            found.push(foundIn(event, place, mode, headers => returnedHeadersOf(request, headers)))
        } catch (error) {
          fail(error)
          return
        }
        records++
        bytes += sizeOfRecord(record)
      },
      flush() {
        if (found.length > 0 || this.isFull) answer()
      },
      warn(text) {
        warning ??= text
      },
      ended: fail
    }
    const stop = (): void => fail(STOPPING)
    this.#open.add(stop)
    response.once('close', () => {
      end()
      this.#open.delete(stop)
      release()
    })
    caller.watch('consume', { topic }, fail)
    this.#follow(topic, options, poll, fail)
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

  #follow(topic: string, options: FollowOptions, sink: Follower, failed: (error: unknown) => void): void {
    this.#verbs.follow(topic, options, sink).then(subscription => sink.follows(subscription), failed)
  }

  /** @param error also the reason why reading has ended */
  #failed(exchange: Exchange, error: unknown): void {
    const known = error instanceof Error ? error : EventProblem.of(error as Parameters<FollowSink['ended']>[0])
    this.#parts.answers.fail(exchange, known)
  }
}
