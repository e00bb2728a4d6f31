import { TimedOutError } from '../../core/errors.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { MonotonicClock } from '../../core/model.js'
import type { BrokerClient, FetchCall, FetchResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { AnyAccepted } from '../requests/accepted.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, problemOfPartition } from '../requests/problems.js'
import { type FetchDataCall, FetchQueues, type FetchSlot } from './fetch-queues.js'
import { FetchSession, toAsk } from './fetch-session.js'
import { FetchSettlement, isMeantForAnother, type SettlementContext, succeed } from './fetch-settlement.js'
import type { Admission, BrokerTags, QueueProcessor, Returned } from './queue-processor.js'
import type { ReadCache } from './read-cache.js'
import { ReadersAtEnd } from './readers-at-end.js'
import { type FetchWaiter, waitersOf } from './wanted.js'

export interface FetchDataOptions {
  readonly now: MonotonicClock
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  /** How long a request waits for new records before it is answered `noMessages`. 0: not at all, as in Castle. */
  readonly fetchMaxWaitMs: number
  /** Bytes of one partition in one answer. */
  readonly fetchBufferBytes: number
  /** Bytes of one response. */
  readonly fetchMaxBytes: number
  readonly maxPartitionsPerCall: number
  readonly callTimeoutMs: number
}

const DISPATCHER = 'kafka_dispatcher'
const SMALLEST_MAX_BYTES = 64 * 1024
/**
 * A long poll names each of its partitions, so many idle ones are asked for less often: a poll takes a millisecond for each
 * two partitions, at most this long. A reader that comes during a poll may learn of a record so much later.
 */
const PARTITIONS_PER_MS = 2
const LONGEST_POLL_MS = 1_000
/** A long poll brings few records, and a partition that it leaves out is not watched: it names so many times more of them. */
const TAIL_CALLS_IN_ONE = 10
/** Readers that are this patient do not mind. */
const PATIENT_MS = 5_000
/** Another reader that came so recently may come again, during a poll; until then all polls are short. */
const IMPATIENT_FOR_MS = 60_000

/**
 * Reads records. Two slots on two connections:
 *
 *   catchUp   there are records to read, or it is not known: asks without waiting
 *   tail      all records have been read: the broker holds the call until a record comes
 *
 * A read of existing records never waits behind a long poll. At the end of the log a partition moves to the tail, where its
 * requests stay in one call after another until a record comes or they have waited `fetchMaxWaitMs` themselves, or as long
 * as they say. So a record for one of a thousand readers does not make the others ask again. A partition whose readers have
 * just been answered stays in the next long poll, because its readers will soon ask for the next record, and can then join
 * the call in flight. Readers that have waited at the end for a second make room for others when the dispatcher is nearly
 * full.
 */
export class FetchAdmission implements Admission {
  readonly catchUp: QueueProcessor<FetchDataCall, FetchResponse>
  readonly tail: QueueProcessor<FetchDataCall, FetchResponse>
  readonly #readCache: ReadCache
  readonly #options: FetchDataOptions
  readonly #queues: FetchQueues
  /** Of the long polls. Calls that catch up name other offsets each time, and have none. */
  readonly #session: FetchSession
  readonly #readersAtEnd = new ReadersAtEnd()
  readonly #context: SettlementContext
  /**
   * Bytes to ask for. Fewer than allowed after a call that timed out (a smaller response may get through a slow link), and
   * after a response of which batches were left out because all of them decompressed would have been too large.
   */
  #maxBytes: number
  /** When a reader without much patience came last. */
  #impatientAt = Number.NEGATIVE_INFINITY

  constructor(readCache: ReadCache, options: FetchDataOptions) {
    this.#readCache = readCache
    this.#options = options
    this.#queues = new FetchQueues(readCache)
    this.#session = new FetchSession(options.fetchBufferBytes)
    this.#context = {
      readCache,
      queues: this.#queues,
      readersAtEnd: this.#readersAtEnd,
      now: options.now,
      fetchMaxWaitMs: options.fetchMaxWaitMs,
      count: (name, value) => this.#count(name, value)
    }
    this.#maxBytes = options.fetchMaxBytes
    this.catchUp = this.#processor('catchUp')
    this.tail = this.#processor('tail')
  }

  answerFromCache(request: AnyAccepted): boolean {
    const waiter = request as FetchWaiter
    this.#meet(waiter)
    if (isMeantForAnother(waiter, waiter.identity)) return false
    const batch = this.#readCache.recall(waiter.key, waiter.position)
    if (!batch) return false
    this.#count('cache_hits', 1)
    succeed(waiter, batch, this.#readCache.identityOf(waiter.key) ?? waiter.identity)
    return true
  }

  addToQueue(request: AnyAccepted): void {
    const waiter = request as FetchWaiter
    this.#meet(waiter)
    if ((waiter.request.maxWaitMs ?? 0) < PATIENT_MS) this.#impatientAt = this.#options.now()
    const isAtEnd = this.#options.fetchMaxWaitMs > 0 && this.#readCache.endOf(waiter.key) === waiter.position
    this.#queues.add(waiter, isAtEnd)
  }

  makeCapacity(): void {
    this.#readersAtEnd.giveWay(this.#options.now())
  }

  drain(): AnyAccepted[] {
    return this.#queues.drain()
  }

  #meet(waiter: FetchWaiter): void {
    this.#readCache.meet(waiter.key, waiter.identity)
    waiter.topicIdAsked ??= waiter.request.topicId ?? waiter.identity.topicId
  }

  #processor(slot: FetchSlot): QueueProcessor<FetchDataCall, FetchResponse> {
    const queues = this.#queues
    return {
      name: slot,
      get isEmpty() {
        return queues.isEmpty(slot)
      },
      nextCall: () => {
        const { maxPartitionsPerCall, fetchMaxWaitMs, now } = this.#options
        const most = slot === 'tail' ? maxPartitionsPerCall * TAIL_CALLS_IN_ONE : maxPartitionsPerCall
        return queues.takeCall(slot, most, now(), now() - fetchMaxWaitMs)
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
    if (slot === 'tail') return this.#session.next(partitions, this.#queues.poll.takeChanged())
    return { partitions: Array.from(partitions.values(), wanted => toAsk(wanted, maxBytes)) }
  }

  /**
   * How long the broker holds a long poll while no record comes. Where readers have little patience, or wait for the next
   * poll, it is a short one.
   */
  #pollMs({ partitions }: FetchDataCall): number {
    const { fetchMaxWaitMs, now } = this.#options
    const stretchedMs = Math.min(LONGEST_POLL_MS, partitions.size / PARTITIONS_PER_MS)
    const arePatient = now() - this.#impatientAt >= IMPATIENT_FOR_MS
    const mayStretch = this.#queues.isPollComplete && arePatient && fetchMaxWaitMs > 0 && stretchedMs > fetchMaxWaitMs
    return mayStretch ? Math.ceil(stretchedMs) : fetchMaxWaitMs
  }

  #callFailed(call: FetchDataCall, error: Error): readonly AnyAccepted[] {
    this.#queues.ended(call)
    if (error instanceof TimedOutError) this.#askForLess(4)
    const waiters = [...call.partitions.values()].flatMap(waitersOf)
    if (call.slot === 'tail') {
      this.#session.restart()
      this.#queues.poll.clear()
    }
    return waiters
  }

  #processResponse(call: FetchDataCall, response: FetchResponse): readonly Returned[] {
    this.#queues.ended(call)
    if (response.partitions.some(({ records }) => records.isLeftOut)) this.#askForLess(2)
    else this.#maxBytes = Math.min(this.#options.fetchMaxBytes, this.#maxBytes * 2)
    this.#count('bytes_fetched', response.sizeBytes)
    const back = this.#settle(call, response)
    if (response.throttleTimeMs > 0) this.#queues.restPoll()
    return back
  }

  #settle(call: FetchDataCall, response: FetchResponse): readonly Returned[] {
    const settlement = new FetchSettlement(this.#context, call)
    if (call.slot === 'catchUp') return settlement.settle(response)
    const { isPartial } = this.#session
    // The broker has forgotten the session. The same partitions are asked for again, in another one.
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

export const fetchData = describeOperation('fetchData', {
  role: 'fetch',
  deadline: 'Deadline of FetchData',
  target: { type: 'leader', topicPartition: ({ topicPartition }) => topicPartition },
  echo: ({ topicPartition, offset }) => ({ operation: 'fetchData', topicPartition, offset }),
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, offset }) =>
    problemOfPartition(topicPartition) ??
    (Number.isSafeInteger(offset) ? undefined : invalid('invalidRequest', `no offset: ${offset}`))
})
