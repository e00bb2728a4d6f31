import { TimedOutError } from '../errors.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import { type MonotonicClock, type Offset, type RecordBatch, topicPartitionKey } from '../model.js'
import type { BrokerClient, FetchPartitionResponse, FetchResponse } from '../wire/broker-client.js'
import type { AnyAccepted } from './accepted.js'
import { kafkaFailure, replyAll } from './answers.js'
import { partitionAction } from './error-actions.js'
import {
  type FetchDataCall,
  FetchQueues,
  type FetchSlot,
  type FetchWaiter,
  type Wanted,
  waitersOf
} from './fetch-queues.js'
import { type BrokerTags, type Intake, type QueueProcessor, type Returned, returned } from './queue-processor.js'
import type { ReadingRoom } from './reading-room.js'

export interface FetchDataOptions {
  readonly now: MonotonicClock
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  /** How long a request waits for records to be written before it is told noMessages. 0: not at all, as Castle. */
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
// What a response that leaves a partition out, or breaks off, counts as.
const NETWORK_EXCEPTION = 13

/**
 * Reads records. Two slots on two connections:
 *
 *   catchUp   data is there, or nobody knows: asks without waiting
 *   tail      everything written has been read: the broker holds the call until something comes
 *
 * A read of data that exists never waits behind a long poll. At the end of the log a partition moves to the tail, and
 * its requests join one call after another until a record comes or they have waited `fetchMaxWaitMs` themselves. So a
 * record for one of a thousand readers makes no other ask again. Partitions whose readers have just been answered stay
 * in the next long poll, because the readers are about to ask for what follows; they then join it on its way.
 */
export class FetchData implements Intake {
  readonly catchUp: QueueProcessor<FetchDataCall, FetchResponse>
  readonly tail: QueueProcessor<FetchDataCall, FetchResponse>
  readonly #room: ReadingRoom
  readonly #options: FetchDataOptions
  readonly #queues = new FetchQueues()
  /** Less than is allowed after a call timed out: over a slow link, less may get through. */
  #maxBytes: number

  constructor(room: ReadingRoom, options: FetchDataOptions) {
    this.#room = room
    this.#options = options
    this.#maxBytes = options.fetchMaxBytes
    this.catchUp = this.#processor('catchUp')
    this.tail = this.#processor('tail')
  }

  answerFromCache(request: AnyAccepted): boolean {
    const waiter = request as FetchWaiter
    const batch = this.#room.cache.get(waiter.key, waiter.position)
    if (!batch) return false
    this.#count('cache_hits', 1)
    succeed(waiter, batch)
    return true
  }

  addToQueue(request: AnyAccepted): void {
    const waiter = request as FetchWaiter
    const isAtEnd = this.#options.fetchMaxWaitMs > 0 && this.#room.endOf(waiter.key) === waiter.position
    this.#queues.add(waiter, isAtEnd)
  }

  drain(): AnyAccepted[] {
    return this.#queues.drain()
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
        return queues.takeCall(slot, maxPartitionsPerCall, now() - fetchMaxWaitMs)
      },
      send: (client, call) => this.#send(client, call),
      processResponse: (call, response) => this.#processResponse(call, response),
      callFailed: (call, error) => this.#callFailed(call, error)
    }
  }

  #send(client: BrokerClient, call: FetchDataCall): Promise<FetchResponse> {
    const { fetchMaxWaitMs, fetchBufferBytes, callTimeoutMs } = this.#options
    const maxWaitMs = call.slot === 'tail' ? fetchMaxWaitMs : 0
    call.client = client
    this.#count('fetches', 1)
    return client.fetch({
      maxWaitMs,
      minBytes: maxWaitMs > 0 ? 1 : 0,
      maxBytes: this.#maxBytes,
      isolationLevel: this.#room.isolationLevel,
      timeoutMs: maxWaitMs + callTimeoutMs,
      partitions: Array.from(call.partitions.values(), ({ topic, partition, position, leaderEpoch }) => ({
        topic,
        partition,
        fetchOffset: position,
        maxBytes: fetchBufferBytes,
        currentLeaderEpoch: leaderEpoch
      }))
    })
  }

  #callFailed(call: FetchDataCall, error: Error): readonly AnyAccepted[] {
    this.#queues.ended(call)
    if (error instanceof TimedOutError) {
      const less = Math.max(SMALLEST_MAX_BYTES, Math.floor(this.#maxBytes / 4))
      this.#maxBytes = Math.min(this.#options.fetchMaxBytes, less)
    }
    return [...call.partitions.values()].flatMap(waitersOf)
  }

  #processResponse(call: FetchDataCall, response: FetchResponse): readonly Returned[] {
    this.#queues.ended(call)
    this.#maxBytes = Math.min(this.#options.fetchMaxBytes, this.#maxBytes * 2)
    this.#count('bytes_fetched', response.sizeBytes)
    const back: Returned[] = []
    const unanswered = new Map(call.partitions)
    for (const partition of response.errorCode === 0 ? response.partitions : []) {
      const key = topicPartitionKey(partition.topic, partition.partition)
      const wanted = unanswered.get(key)
      if (!wanted) continue
      unanswered.delete(key)
      back.push(...this.#processPartition(call, key, wanted, partition))
    }
    const errorCode = response.errorCode === 0 ? NETWORK_EXCEPTION : response.errorCode
    for (const [key, wanted] of unanswered) back.push(...this.#processError(key, wanted, errorCode))
    return back
  }

  #processPartition(
    call: FetchDataCall,
    key: string,
    wanted: Wanted,
    response: FetchPartitionResponse
  ): readonly Returned[] {
    const { errorCode, records, highWatermark, lastStableOffset } = response
    if (errorCode !== 0 && errorCode !== 2) return this.#processError(key, wanted, errorCode)
    const damaged = errorCode === 2 || records.corruption !== undefined
    if (damaged) this.#count('invalid_messages', 1)
    const end = this.#room.isolationLevel === 'readCommitted' ? lastStableOffset : highWatermark
    if (errorCode === 0) this.#room.saw(key, response.logStartOffset, end)
    if (records.batches.length > 0) return this.#deliver(call, key, wanted, records.batches)
    if (damaged && (records.corruption?.offset ?? wanted.position) <= wanted.position) {
      return this.#processDamage(call, key, wanted, records.corruption?.nextOffset)
    }
    if (records.nextOffset > wanted.position) return this.#skipTo(key, wanted, records.nextOffset)
    return wanted.position < end ? this.#notServed(call, key, wanted) : this.#processEnd(call, key, wanted)
  }

  #deliver(call: FetchDataCall, key: string, wanted: Wanted, batches: readonly RecordBatch[]): readonly Returned[] {
    const batch = batches.length === 1 ? batches[0]! : this.#room.concat(batches)
    this.#room.keep(key, wanted.position, batch)
    this.#countShared(wanted)
    for (const waiter of wanted.waiters) succeed(waiter, batch)
    for (const waiter of wanted.joined) succeed(waiter, batch)
    this.#serveQueued(key, wanted.position, batch)
    if (call.slot === 'tail') this.#queues.expect(key, wanted, batch.nextOffset, this.#options.now())
    return []
  }

  /** Queued requests whose offset lies in what has just arrived need no call of their own. */
  #serveQueued(key: string, start: Offset, batch: RecordBatch): void {
    const covers = (offset: Offset): boolean => offset >= start && offset <= batch.maxOffset
    for (const [offset, waiters] of this.#queues.takeWhere(key, covers)) {
      const slice = offset <= batch.offset ? batch : batch.sliceFrom(offset)!
      this.#count('avoided_fetches', waiters.length)
      for (const waiter of waiters) succeed(waiter, slice)
    }
  }

  /** Control batches, aborted transactions, compacted ranges: reading goes on behind them without the requester. */
  #skipTo(key: string, wanted: Wanted, position: Offset): readonly Returned[] {
    const waiters = waitersOf(wanted)
    for (const waiter of waiters) waiter.position = position
    this.#queues.putFirst(key, position, waiters)
    return []
  }

  /**
   * Empty, although there is more: it came too late in a response that was full. First in turn, it will be served; if it
   * was first already, the broker holds something back: ask again, but not at once.
   */
  #notServed(call: FetchDataCall, key: string, wanted: Wanted): readonly Returned[] {
    const waiters = waitersOf(wanted)
    if (call.partitions.values().next().value === wanted) return returned('retryLater', waiters)
    this.#queues.putFirst(key, wanted.position, waiters)
    return []
  }

  /** Everything has been read: who has waited long enough is told so, the others join the next long poll. */
  #processEnd(call: FetchDataCall, key: string, wanted: Wanted): readonly Returned[] {
    const waiters = waitersOf(wanted)
    const now = this.#options.now()
    const isPatient = (waiter: FetchWaiter): boolean => now - waiter.acceptedAt < this.#options.fetchMaxWaitMs
    const patient = waiters.filter(isPatient)
    this.#queues.addAtTail(key, wanted.position, patient)
    if (patient.length < waiters.length) this.#countShared(wanted)
    const done = waiters.filter(waiter => !isPatient(waiter))
    replyAll(done, { type: 'noMessages' })
    if (call.slot === 'tail' && waiters.length > 0) this.#queues.expect(key, wanted, wanted.position, now)
    return []
  }

  /** Once may have been the way here; twice is the broker's disk. */
  #processDamage(call: FetchDataCall, key: string, wanted: Wanted, next: Offset | undefined): readonly Returned[] {
    const waiters = waitersOf(wanted)
    if (waiters.every(waiter => waiter.damages === 0)) {
      for (const waiter of waiters) waiter.damages++
      void call.client?.close()
      return returned('retryLater', waiters)
    }
    const nextOffset = Math.max(next ?? 0, wanted.position + 1)
    replyAll(waiters, { type: 'corruptMessage', nextOffset })
    const isDamaged = (offset: Offset): boolean => offset >= wanted.position && offset < nextOffset
    for (const [, others] of this.#queues.takeWhere(key, isDamaged)) {
      replyAll(others, { type: 'corruptMessage', nextOffset })
    }
    return []
  }

  #processError(key: string, wanted: Wanted, errorCode: number): readonly Returned[] {
    const waiters = waitersOf(wanted)
    const action = partitionAction(errorCode)
    switch (action) {
      case 'outOfRange':
        this.#room.sawOutOfRange(key, wanted.position)
        replyAll(waiters, { type: 'offsetOutOfRange' })
        for (const [, others] of this.#queues.takeWhere(key, offset => offset === wanted.position)) {
          replyAll(others, { type: 'offsetOutOfRange' })
        }
        return []
      case 'unknownTopicOrPartition':
        this.#count('unknown_topic_or_partition_responses', 1)
        return returned(action, waiters)
      case 'notLeader':
        return returned(action, [...waiters, ...this.#queues.takePartition(key)])
      case 'retryLater':
      case 'staleTopic':
        return returned(action, waiters)
      case 'success':
      case 'corrupt':
      case 'notCoordinator':
      case 'fail':
        replyAll(waiters, kafkaFailure(errorCode))
        return []
    }
  }

  #countShared(wanted: Wanted): void {
    if (wanted.waiters.length > 0) this.#count('batched_requests', wanted.waiters.length)
    if (wanted.joined.length > 0) this.#count('avoided_fetches', wanted.joined.length)
  }

  #count(name: string, value: number): void {
    this.#options.metrics.count(DISPATCHER, name, this.#options.tags, value)
  }
}

function succeed(waiter: FetchWaiter, batch: RecordBatch): void {
  const { topicPartition, offset } = waiter.request
  waiter.answer({ operation: 'fetchData', topicPartition, offset, type: 'success', batch })
}
