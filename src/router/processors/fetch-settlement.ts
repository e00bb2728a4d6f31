import {
  type MonotonicClock,
  type Offset,
  type PartitionIdentity,
  type RecordBatch,
  topicPartitionKey
} from '../../core/model.js'
import { resultOfUser } from '../../core/users-code.js'
import type { FetchPartitionResponse, FetchResponse, IsolationLevel } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { FetchedRecords } from '../../kafka/fetched-records.js'
import { kafkaFailure, oddOffset, ownFailure } from '../requests/failures.js'
import { reply, replyAll } from '../requests/open-requests.js'
import { partitionAction } from './error-actions.js'
import type { FetchDataCall, FetchLines, Unserved } from './fetch-lines.js'
import { type FetchWaiter, type ReadersAtEnd, type Wanted, waitersOf } from './long-poll.js'
import { type Returned, returned } from './queue-processor.js'
import type { ReadCache } from './read-cache.js'

type BatchTooLarge = NonNullable<FetchedRecords['tooLarge']>

export interface SettlementContext {
  readonly readCache: ReadCache
  readonly lines: FetchLines
  readonly readersAtEnd: ReadersAtEnd
  readonly now: MonotonicClock
  /** How long a request waits for new records before it is answered `noMessages`. */
  readonly fetchMaxWaitMs: number
  count(name: string, value: number): void
}

/**
 * Settles one Fetch response: the requests for each partition of the call are answered, returned to the Router, or put back
 * into the lines.
 */
export class FetchSettlement {
  readonly #context: SettlementContext
  readonly #call: FetchDataCall
  readonly #leftBytes: number
  readonly #returned: Returned[] = []
  readonly #unserved: Unserved[] = []

  /** @param leftBytes bytes that the response could still have had beside its records */
  constructor(context: SettlementContext, call: FetchDataCall, leftBytes: number) {
    this.#context = context
    this.#call = call
    this.#leftBytes = leftBytes
  }

  /** Settles all partitions of the call. Returns the requests that this broker could not answer. */
  settle(response: FetchResponse): readonly Returned[] {
    const unanswered = new Map(this.#call.partitions)
    if (this.#call.slot === 'tail') this.#context.lines.poll.takeLooks(this.#context.now())
    for (const partition of response.errorCode === errorCodes.NONE ? response.partitions : []) {
      const key = topicPartitionKey(partition.topic, partition.partition)
      const wanted = unanswered.get(key)
      if (!wanted) continue
      unanswered.delete(key)
      this.#leavePoll(key)
      this.#partition(key, wanted, partition)
    }
    // The error code for partitions that the response leaves out.
    const errorCode = response.errorCode === errorCodes.NONE ? errorCodes.NETWORK_EXCEPTION : response.errorCode
    for (const [key, wanted] of unanswered) {
      this.#leavePoll(key)
      this.#error(key, wanted, errorCode)
    }
    this.#putBackUnserved()
    return this.#returned
  }

  /**
   * Settles the response to a long poll with a session. Partitions that the response leaves out have no news. A broker
   * that throttles leaves out all partitions without reading them, so their requests wait for the next response.
   */
  settlePart(response: FetchResponse): readonly Returned[] {
    const { lines, now } = this.#context
    const { poll } = lines
    const isUnread = response.throttleTimeMs > 0 && response.partitions.length === 0
    const looks = isUnread ? [] : poll.takeLooks(now())
    for (const wanted of lines.takeStrangers()) this.#return('retryLater', waitersOf(wanted))
    const answered = new Set<string>()
    for (const partition of response.partitions) {
      const key = topicPartitionKey(partition.topic, partition.partition)
      const wanted = poll.partitions.get(key)
      if (!wanted || answered.has(key)) continue
      answered.add(key)
      poll.drop(key)
      this.#partition(key, wanted, partition)
    }
    for (const [key, wanted] of looks) if (poll.partitions.get(key) === wanted) this.#look(key, wanted)
    this.#putBackUnserved()
    return this.#returned
  }

  #leavePoll(key: string): void {
    if (this.#call.slot === 'tail') this.#context.lines.poll.drop(key)
  }

  /** Checks whether the requests of a partition without news have waited long enough. */
  #look(key: string, wanted: Wanted): void {
    const { lines, readCache, fetchMaxWaitMs } = this.#context
    const { poll } = lines
    refuseFormerOffsets(waitersOf(wanted), wanted.identity, readCache.startOf(key))
    const open = waitersOf(wanted)
    if (open.length === 0) {
      poll.drop(key)
      return
    }
    const now = this.#context.now()
    if (readCache.openTransactions.noNews(key, now)) lines.askInFull()
    const patient = this.#answerImpatient(wanted, open, now)
    wanted.waiters = patient
    wanted.joined = []
    if (patient.length === 0) lines.expectAgain(now)
    let nextAt = patient.length === 0 ? now : poll.nextLookAt(now)
    for (const { acceptedAt, request } of patient) {
      nextAt = Math.min(nextAt, acceptedAt + Math.max(fetchMaxWaitMs, request.maxWaitMs ?? 0))
    }
    poll.lookAt(key, wanted, nextAt)
  }

  #partition(key: string, wanted: Wanted, response: FetchPartitionResponse): void {
    const { readCache } = this.#context
    const { errorCode } = response
    const identity = readCache.identityOf(key)
    // The topic may have been created again while the call was in flight. The answer may then belong to the deleted
    // log.
    if (identity?.topicId !== wanted.identity.topicId || identity === undefined) {
      this.#return('retryLater', waitersOf(wanted))
    } else if (errorCode === errorCodes.NONE) {
      const start = knownOffset(response.logStartOffset)
      const end = endOf(response, readCache.isolationLevel)
      if (identity === wanted.identity) {
        readCache.saw(key, start, end)
        readCache.openTransactions.saw(key, response, this.#context.now())
      }
      refuseFormerOffsets(waitersOf(wanted), identity, start)
      this.#records(key, wanted, response.records, end)
    } else if (errorCode === errorCodes.CORRUPT_MESSAGE) this.#records(key, wanted, response.records, undefined, true)
    else this.#error(key, wanted, errorCode)
  }

  #records(key: string, wanted: Wanted, records: FetchedRecords, end: Offset | undefined, isRefused = false): void {
    const { batches, corruption, tooLarge, unavailable, nextOffset } = records
    const isDamaged = isRefused || corruption !== undefined
    if (isDamaged) this.#context.count('invalid_messages', 1)
    if (batches.length > 0) this.#deliver(key, wanted, batches)
    else if (isDamaged && (corruption?.offset ?? wanted.position) <= wanted.position) {
      this.#damage(key, wanted, corruption?.nextOffset)
    } else if (tooLarge && tooLarge.offset <= wanted.position) this.#tooLarge(key, wanted, tooLarge)
    else if (unavailable && unavailable.offset <= wanted.position) {
      replyAll(waitersOf(wanted), ownFailure('protocol', unavailable.reason, false))
    } else if (nextOffset > wanted.position) this.#skipTo(key, wanted, nextOffset)
    else if (end === undefined) replyAll(waitersOf(wanted), oddOffset(end))
    else if (wanted.position < end) this.#notServed(key, wanted)
    else this.#end(key, wanted)
  }

  /** A broker may leave out a batch above the limit of its partition, unless it is the first one of the response. */
  #notServed(key: string, wanted: Wanted): void {
    for (const { state } of waitersOf(wanted))
      if (state.maxBytes !== undefined && state.maxBytes <= this.#leftBytes) state.maxBytes *= 2
    this.#unserved.push({ key, wanted })
  }

  #deliver(key: string, wanted: Wanted, batches: readonly RecordBatch[]): void {
    const { readCache, lines, now } = this.#context
    const batch = batches.length === 1 ? batches[0]! : readCache.concat(batches)
    // Records of a former leader may be missing in the log of the current leader.
    if (readCache.identityOf(key) === wanted.identity) readCache.keep(key, wanted.position, batch)
    this.#countShared(wanted)
    for (const waiter of wanted.waiters) succeed(waiter, batch, wanted.identity)
    for (const waiter of wanted.joined) succeed(waiter, batch, wanted.identity)
    this.#serveQueued(key, wanted, batch)
    if (this.#call.slot === 'tail') lines.expect(key, wanted, batch.nextOffset, now())
  }

  /** Answers waiting requests whose offset lies in the batch that has just arrived. */
  #serveQueued(key: string, { position, identity }: Wanted, batch: RecordBatch): void {
    const covers = (offset: Offset): boolean => offset >= position && offset <= batch.maxOffset
    for (const [offset, waiters] of this.#context.lines.takeWhere(key, covers)) {
      const slice = offset <= batch.offset ? batch : batch.sliceFrom(offset)!
      this.#context.count('avoided_fetches', waiters.length)
      refuseFormerOffsets(waiters, identity, this.#context.readCache.startOf(key))
      for (const waiter of waiters) succeed(waiter, slice, identity)
    }
  }

  /** Lets requests continue at `position`, after control batches, aborted transactions and compacted ranges. */
  #skipTo(key: string, wanted: Wanted, position: Offset): void {
    const waiters = waitersOf(wanted)
    for (const waiter of waiters) waiter.state.position = position
    this.#context.lines.moveOn(key, position, waiters)
  }

  /**
   * Puts back partitions that got no records although there are more: the response was full, or the limit of
   * decompressed bytes was reached, before their turn. They keep their turns. If the first partition of the call is
   * among them, the broker does not serve partitions in the order of the call, or holds records back. The next call
   * then asks for this partition alone. If that call returns no records either, the partition is asked again after a
   * pause.
   */
  #putBackUnserved(): void {
    const { lines } = this.#context
    const first = this.#call.partitions.values().next().value
    const [head] = this.#unserved
    const isHeldBack = this.#call.slot === 'catchUp' && head !== undefined && head.wanted === first
    if (isHeldBack && this.#call.partitions.size === 1) this.#return('retryLater', waitersOf(head.wanted))
    else lines.putBack(this.#call, this.#unserved, isHeldBack)
  }

  /**
   * Settles requests that have read all records. Requests that have waited long enough are answered `noMessages`. The
   * others join the next long poll.
   */
  #end(key: string, wanted: Wanted): void {
    const { lines } = this.#context
    const open = waitersOf(wanted)
    const now = this.#context.now()
    const patient = this.#answerImpatient(wanted, open, now)
    lines.addAtTail(key, wanted.position, patient)
    if (this.#call.slot === 'tail' && open.length > 0 && patient.length === 0) {
      lines.expect(key, wanted, wanted.position, now)
    }
  }

  /** Answers `noMessages` to the open requests that have waited long enough. Returns the others. */
  #answerImpatient(wanted: Wanted, open: readonly FetchWaiter[], now: number): readonly FetchWaiter[] {
    const { readersAtEnd, fetchMaxWaitMs } = this.#context
    const isPatient = (waiter: FetchWaiter): boolean => {
      const waitedMs = now - waiter.acceptedAt
      return waitedMs < fetchMaxWaitMs || (fetchMaxWaitMs > 0 && waitsLonger(waiter, waitedMs))
    }
    // Checks each request once and allocates nothing: there may be thousands of idle partitions, each with one reader.
    const firstDone = open.findIndex(waiter => !isPatient(waiter))
    if (firstDone < 0) {
      readersAtEnd.add(open)
      return open
    }
    const patient: FetchWaiter[] = []
    const done: FetchWaiter[] = []
    for (const waiter of open) (isPatient(waiter) ? patient : done).push(waiter)
    readersAtEnd.add(patient)
    if (done.length > 0) {
      const { position: nextOffset, identity } = wanted
      this.#countShared(wanted)
      for (const waiter of done) {
        reply(waiter, {
          type: 'noMessages',
          ...(identity.leaderEpoch >= 0 && { leaderEpoch: identity.leaderEpoch }),
          ...(nextOffset > waiter.request.offset && { nextOffset })
        })
      }
    }
    return patient
  }

  /**
   * Settles a damaged batch. The first time, the bytes may have been damaged in transit, so the batch is fetched again.
   * The second time, it is damaged on the broker's disk.
   */
  #damage(key: string, wanted: Wanted, next: Offset | undefined): void {
    const waiters = waitersOf(wanted)
    if (waiters.every(waiter => waiter.state.damages === 0)) {
      for (const waiter of waiters) waiter.state.damages++
      this.#return('retryLater', waiters)
      return
    }
    const nextOffset = Math.max(next ?? 0, wanted.position + 1)
    replyAll(waiters, { type: 'corruptMessage', nextOffset })
    const isDamaged = (offset: Offset): boolean => offset >= wanted.position && offset < nextOffset
    for (const [, others] of this.#context.lines.takeWhere(key, isDamaged)) {
      replyAll(others, { type: 'corruptMessage', nextOffset })
    }
  }

  /**
   * Answers the readers of a batch that is too large. Another attempt fails as well, so readers can only continue after
   * the batch.
   */
  #tooLarge(key: string, wanted: Wanted, { nextOffset, maxBytes }: BatchTooLarge): void {
    const message =
      `the batch of ${key} at offset ${wanted.position} takes more than ${maxBytes} bytes decompressed, or the headers of a ` +
      `record do (half of decompressedMaxBytes); it ends before offset ${nextOffset}`
    const failure = ownFailure('batchTooLarge', message, false)
    replyAll(waitersOf(wanted), failure)
    const isInside = (offset: Offset): boolean => offset >= wanted.position && offset < nextOffset
    for (const [, others] of this.#context.lines.takeWhere(key, isInside)) replyAll(others, failure)
  }

  #error(key: string, wanted: Wanted, errorCode: number): void {
    const { readCache, lines } = this.#context
    const waiters = waitersOf(wanted)
    const action = partitionAction(errorCode)
    switch (action) {
      case 'outOfRange':
        readCache.sawOutOfRange(key, wanted.position)
        replyAll(waiters, { type: 'offsetOutOfRange' })
        for (const [, others] of lines.takeWhere(key, offset => offset === wanted.position)) {
          replyAll(others, { type: 'offsetOutOfRange' })
        }
        break
      case 'unknownTopicOrPartition':
        this.#context.count('unknown_topic_or_partition_responses', 1)
        this.#return(action, waiters)
        break
      case 'notLeader':
        this.#return(action, [...waiters, ...lines.takePartition(key)])
        break
      case 'retryLater':
      case 'staleTopic':
        this.#return(action, waiters)
        break
      case 'success':
      case 'corrupt':
      case 'notCoordinator':
      case 'fail':
        replyAll(waiters, kafkaFailure(errorCode))
    }
  }

  #return(reason: Returned['reason'], waiters: readonly FetchWaiter[]): void {
    this.#returned.push(...returned(reason, waiters))
  }

  #countShared(wanted: Wanted): void {
    if (wanted.waiters.length > 0) this.#context.count('batched_requests', wanted.waiters.length)
    if (wanted.joined.length > 0) this.#context.count('avoided_fetches', wanted.joined.length)
  }
}

const waitsLonger = ({ request: { maxWaitMs = 0, isWanted } }: FetchWaiter, waitedMs: number): boolean =>
  waitedMs < maxWaitMs && (isWanted === undefined || resultOfUser('isWanted of a request', isWanted, false))

/** Answers a request with a batch. The last argument is the identity of the partition that the batch was read from. */
export function succeed(waiter: FetchWaiter, batch: RecordBatch, { leaderEpoch }: PartitionIdentity): void {
  const { topicPartition, offset } = waiter.request
  // Two literals, because a copy of the result costs more than the look-up in the cache.
  waiter.answer(
    leaderEpoch >= 0
      ? { operation: 'fetchData', topicPartition, offset, type: 'success', batch, leaderEpoch }
      : { operation: 'fetchData', topicPartition, offset, type: 'success', batch }
  )
}

/**
 * True when the topic was created again after the request was made. The offset of the request belongs to the former
 * log.
 */
export const isMeantForAnother = ({ state }: FetchWaiter, { topicId }: PartitionIdentity): boolean =>
  state.topicIdAsked !== undefined && state.topicIdAsked !== topicId

/**
 * Refuses requests whose offsets belong to a former log. A request without a topic id is still served at the start of
 * the new log, because it skips no record there. A request with the former id is refused there as well. Otherwise its
 * reader does not learn the new id, and reads the first records twice.
 */
function refuseFormerOffsets(waiters: readonly FetchWaiter[], read: PartitionIdentity, start = 0): void {
  for (const waiter of waiters) {
    const isPinned = waiter.request.topicId !== undefined
    if (isMeantForAnother(waiter, read) && (isPinned || waiter.state.position > start)) {
      reply(waiter, { type: 'offsetOutOfRange' })
    }
  }
}

const knownOffset = (offset: Offset | undefined): Offset | undefined =>
  offset === undefined || offset < 0 ? undefined : offset

/** The first offset that cannot be read yet. Some brokers do not report the last stable offset. */
function endOf({ highWatermark, lastStableOffset }: FetchPartitionResponse, level: IsolationLevel): Offset | undefined {
  const end = level === 'readCommitted' && lastStableOffset !== -1 ? lastStableOffset : highWatermark
  return knownOffset(end)
}
