import { TimedOutError } from '../../core/errors.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { MonotonicClock } from '../../core/model.js'
import type { BrokerClient, FetchCall, FetchResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { invalid, problemOfPartition } from '../requests/failures.js'
import type { OpenRequest } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { type FetchDataCall, FetchLines, type FetchSlot } from './fetch-lines.js'
import { FetchSession, toAsk } from './fetch-session.js'
import { FetchSettlement, isMeantForAnother, type SettlementContext, succeed } from './fetch-settlement.js'
import { type FetchWaiter, maxBytesOf, ReadersAtEnd, waitersOf } from './long-poll.js'
import type { BrokerTags, DispatcherAdmission, QueueProcessor, Returned } from './queue-processor.js'
import type { ReadCache } from './read-cache.js'

export interface FetchDataOptions {
  readonly now: MonotonicClock
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  /** How long a request waits for new records before it is answered `noMessages`. 0: it does not wait, as in Castle. */
  readonly fetchMaxWaitMs: number
  /** Limit of the bytes of one partition in one response. */
  readonly fetchBufferBytes: number
  /** Limit of the bytes of one response. */
  readonly fetchMaxBytes: number
  readonly maxPartitionsPerCall: number
  readonly callTimeoutMs: number
}

const DISPATCHER = 'kafka_dispatcher'
const SMALLEST_MAX_BYTES = 64 * 1024
/**
 * A long poll names each of its partitions, so a poll of many idle partitions is made longer, by a millisecond for
 * every two partitions, up to `LONGEST_POLL_MS`. A reader that comes during a poll may get a record later by this time.
 */
const PARTITIONS_PER_MS = 2
const LONGEST_POLL_MS = 1_000
/**
 * A long poll may name this many times more partitions than a catch-up call, because it returns few records, and a
 * partition that it leaves out is not watched.
 */
const TAIL_CALLS_IN_ONE = 10
/** A reader with at least this `maxWaitMs` counts as patient. For patient readers, long polls may be made longer. */
const PATIENT_MS = 5_000
/**
 * Long polls are not made longer for this time after a request of an impatient reader, because this reader may ask
 * again during a poll.
 */
const IMPATIENT_FOR_MS = 60_000

/**
 * Reads records. Two slots on two connections:
 *
 *   catchUp   there are records to read, or may be: asks without waiting
 *   tail      all records have been read: the broker holds the call until a record comes
 *
 * A read of existing records never waits behind a long poll. At the end of the log a partition moves to the tail, where
 * its requests stay in one call after another until a record comes, or until they have waited for `fetchMaxWaitMs` or
 * their own `maxWaitMs`. So when a record comes for one of a thousand readers, the others need not ask again. A
 * partition whose readers have just been answered stays in the next long poll, because its readers will soon ask for
 * the next record, and can then join the call in flight. When the dispatcher is nearly full, readers that have waited
 * at the end for a second are answered `noMessages`.
 */
export class FetchAdmission implements DispatcherAdmission {
  readonly catchUp: QueueProcessor<FetchDataCall, FetchResponse>
  readonly tail: QueueProcessor<FetchDataCall, FetchResponse>
  readonly #readCache: ReadCache
  readonly #options: FetchDataOptions
  readonly #lines: FetchLines
  /** The fetch session of the long polls. Catch-up calls have no session, because they name new offsets each time. */
  readonly #session: FetchSession
  readonly #readersAtEnd = new ReadersAtEnd()
  readonly #context: SettlementContext
  /**
   * Bytes to ask for in the next call. The value is lower than allowed after a call that timed out, because a smaller
   * response may get through a slow link. It is also lower after a response that exceeded the limit of decompressed
   * bytes.
   */
  #maxBytes: number
  #look = (): void => {}
  /** Time of the last request of an impatient reader. */
  #impatientAt = Number.NEGATIVE_INFINITY

  constructor(readCache: ReadCache, options: FetchDataOptions) {
    this.#readCache = readCache
    this.#options = options
    this.#lines = new FetchLines(readCache, () => this.#look())
    this.#session = new FetchSession(options.fetchBufferBytes)
    this.#context = {
      readCache,
      lines: this.#lines,
      readersAtEnd: this.#readersAtEnd,
      now: options.now,
      fetchMaxWaitMs: options.fetchMaxWaitMs,
      count: (name, value) => this.#count(name, value)
    }
    this.#maxBytes = options.fetchMaxBytes
    this.catchUp = this.#processor('catchUp')
    this.tail = this.#processor('tail')
  }

  answerFromCache(request: OpenRequest): boolean {
    const waiter = request as FetchWaiter
    this.#setIdentity(waiter)
    if (isMeantForAnother(waiter, waiter.identity)) return false
    const batch = this.#readCache.lookUp(waiter.key, waiter.state.position)
    if (!batch) return false
    this.#count('cache_hits', 1)
    succeed(waiter, batch, this.#readCache.identityOf(waiter.key) ?? waiter.identity)
    return true
  }

  addToQueue(request: OpenRequest): void {
    const waiter = request as FetchWaiter
    this.#setIdentity(waiter)
    if ((waiter.request.maxWaitMs ?? 0) < PATIENT_MS) this.#impatientAt = this.#options.now()
    const isAtEnd = this.#options.fetchMaxWaitMs > 0 && this.#readCache.endOf(waiter.key) === waiter.state.position
    this.#lines.add(waiter, isAtEnd, this.#options.now())
  }

  onReady(look: () => void): void {
    this.#look = look
  }

  answerOldestReader(): void {
    this.#readersAtEnd.answerOldest(this.#options.now())
  }

  drain(): OpenRequest[] {
    return this.#lines.drain()
  }

  #setIdentity(waiter: FetchWaiter): void {
    this.#readCache.setIdentity(waiter.key, waiter.identity)
    waiter.state.topicIdAsked ??= waiter.request.topicId ?? waiter.identity.topicId
  }

  #processor(slot: FetchSlot): QueueProcessor<FetchDataCall, FetchResponse> {
    const lines = this.#lines
    return {
      name: slot,
      get isEmpty() {
        return lines.isEmpty(slot)
      },
      nextCall: () => {
        const { maxPartitionsPerCall, fetchMaxWaitMs, now } = this.#options
        const most = slot === 'tail' ? maxPartitionsPerCall * TAIL_CALLS_IN_ONE : maxPartitionsPerCall
        return lines.takeCall(slot, most, now(), now() - fetchMaxWaitMs)
      },
      send: (client, call) => this.#send(client, call),
      processResponse: (call, response) => this.#processResponse(call, response),
      callFailed: (call, error) => this.#callFailed(call, error)
    }
  }

  #send(client: BrokerClient, call: FetchDataCall): Promise<FetchResponse> {
    const { fetchBufferBytes, callTimeoutMs } = this.#options
    const maxWaitMs = call.slot === 'tail' ? this.#pollMs(call) : 0
    this.#count('fetches', 1)
    return client.fetch({
      maxWaitMs,
      minBytes: maxWaitMs > 0 ? 1 : 0,
      maxBytes: this.#maxBytes,
      isolationLevel: this.#readCache.isolationLevel,
      decompression: this.#readCache.decompression,
      timeoutMs: maxWaitMs + callTimeoutMs,
      ...this.#asked(call, fetchBufferBytes)
    })
  }

  #asked({ slot, partitions }: FetchDataCall, maxBytes: number): Pick<FetchCall, 'partitions' | 'session'> {
    if (slot === 'tail') {
      if (this.#lines.takeAskInFull()) this.#session.restart()
      return this.#session.next(partitions, this.#lines.poll.takeChanged())
    }
    return {
      partitions: Array.from(partitions.values(), wanted => toAsk(wanted, Math.min(maxBytes, maxBytesOf(wanted))))
    }
  }

  /**
   * How long the broker holds a long poll while no record comes. The time is short when readers are impatient, or when
   * readers wait for the next poll.
   */
  #pollMs({ partitions }: FetchDataCall): number {
    const { fetchMaxWaitMs, now } = this.#options
    const stretchedMs = Math.min(LONGEST_POLL_MS, partitions.size / PARTITIONS_PER_MS)
    const arePatient = now() - this.#impatientAt >= IMPATIENT_FOR_MS
    const mayStretch = this.#lines.isPollComplete && arePatient && fetchMaxWaitMs > 0 && stretchedMs > fetchMaxWaitMs
    return mayStretch ? Math.ceil(stretchedMs) : fetchMaxWaitMs
  }

  #callFailed(call: FetchDataCall, error: Error): readonly OpenRequest[] {
    this.#lines.ended(call)
    if (error instanceof TimedOutError) this.#askForLess(4)
    const waiters = [...call.partitions.values()].flatMap(waitersOf)
    if (call.slot === 'tail') {
      this.#session.restart()
      this.#lines.poll.clear()
    }
    return waiters
  }

  #processResponse(call: FetchDataCall, response: FetchResponse): readonly Returned[] {
    this.#lines.ended(call)
    const leftBytes = this.#maxBytes - response.sizeBytes
    if (response.partitions.some(({ records }) => records.isLeftOut)) this.#askForLess(2)
    else this.#maxBytes = Math.min(this.#options.fetchMaxBytes, this.#maxBytes * 2)
    this.#count('bytes_fetched', response.sizeBytes)
    const back = this.#settle(call, response, leftBytes)
    if (response.throttleTimeMs > 0) this.#lines.restPoll()
    return back
  }

  #settle(call: FetchDataCall, response: FetchResponse, leftBytes: number): readonly Returned[] {
    const settlement = new FetchSettlement(this.#context, call, leftBytes)
    if (call.slot === 'catchUp') return settlement.settle(response)
    const { isPartial } = this.#session
    // The broker has forgotten the session. The same partitions are asked for again, in a new session.
    if (!this.#session.answered(response.errorCode, response.sessionId)) return []
    return isPartial && response.errorCode === errorCodes.NONE
      ? settlement.settlePart(response)
      : settlement.settle(response)
  }

  #askForLess(divisor: number): void {
    const less = Math.max(SMALLEST_MAX_BYTES, Math.floor(this.#maxBytes / divisor))
    this.#maxBytes = Math.min(this.#options.fetchMaxBytes, less)
  }

  #count(name: string, value: number): void {
    this.#options.metrics.count(DISPATCHER, name, this.#options.tags, value)
  }
}

const NO_REQUESTER = { reply: () => undefined }

export const fetchData = describeOperation('fetchData', {
  role: 'fetch',
  target: { type: 'leader', topicPartition: ({ topicPartition }) => topicPartition },
  echo: ({ topicPartition, offset }) => ({ operation: 'fetchData', topicPartition, offset }),
  initialState: ({ offset, maxBytes }) => ({
    position: offset,
    topicIdAsked: undefined,
    damages: 0,
    atEnd: undefined,
    maxBytes
  }),
  // The client has much more: records that were collected, the rest of an answer. Queues and calls list the request on.
  onAnswered: (state, answered) => {
    state.atEnd?.delete(answered)
    const { type, topicPartition, offset } = answered.request
    answered.request = { type, topicPartition, offset, requester: NO_REQUESTER }
  },
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, offset, maxBytes = 1 }) => {
    const problem = problemOfPartition(topicPartition)
    if (problem !== undefined) return problem
    if (!Number.isSafeInteger(offset)) return invalid('invalidRequest', `not an offset: ${offset}`)
    const isLimit = Number.isSafeInteger(maxBytes) && maxBytes > 0
    return isLimit ? undefined : invalid('invalidRequest', `not a limit of bytes: ${maxBytes}`)
  }
})
