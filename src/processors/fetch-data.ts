import { TimedOutError } from '../errors.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import { type MonotonicClock, type Offset, type RecordBatch, topicPartitionKey } from '../model.js'
import type { BrokerClient, FetchPartitionResponse, FetchResponse } from '../wire/broker-client.js'
import type { Accepted, AnyAccepted } from './accepted.js'
import { kafkaFailure, replyAll } from './answers.js'
import { partitionAction } from './error-actions.js'
import {
  type BrokerTags,
  type Intake,
  type QueueProcessor,
  type Returned,
  returned,
  stillOpen
} from './queue-processor.js'
import type { ReadingRoom } from './reading-room.js'
import { RequestQueue } from './request-queue.js'

type Waiter = Accepted<'fetchData'>
type Slot = 'catchUp' | 'tail'

/** One partition of a call, with everybody who waits for that offset of it. */
interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly position: Offset
  readonly leaderEpoch: number
  /** They were queued when the call went out. Empty: nobody asked, but whoever just got an answer is about to. */
  readonly waiters: readonly Waiter[]
  /** They asked for the same while the call was on its way. */
  readonly joined: Waiter[]
}

export interface FetchDataCall {
  readonly slot: Slot
  readonly partitions: ReadonlyMap<string, Wanted>
  client: BrokerClient | undefined
}

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
  readonly #queues = {
    catchUp: new RequestQueue<Offset, Waiter>(),
    tail: new RequestQueue<Offset, Waiter>()
  }
  readonly #inFlight: Record<Slot, FetchDataCall | undefined> = { catchUp: undefined, tail: undefined }
  /** Partitions just answered at the tail, and since when. */
  #expected = new Map<string, Wanted>()
  #expectedAt = 0
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
    const waiter = request as Waiter
    const batch = this.#room.cache.get(waiter.key, waiter.position)
    if (!batch) return false
    this.#count('cache_hits', 1)
    this.#succeed(waiter, batch)
    return true
  }

  addToQueue(request: AnyAccepted): void {
    const waiter = request as Waiter
    const { key, position } = waiter
    for (const call of [this.#inFlight.catchUp, this.#inFlight.tail]) {
      const wanted = call?.partitions.get(key)
      if (wanted?.position === position) {
        wanted.joined.push(waiter)
        return
      }
    }
    // While a long poll is on its way, what may have been written since is asked for without waiting.
    const tail = this.#isAtEnd(key, position) && !this.#inFlight.tail
    this.#queues[tail ? 'tail' : 'catchUp'].add(key, position, waiter)
  }

  drain(): AnyAccepted[] {
    return stillOpen([...this.#queues.catchUp.drain(), ...this.#queues.tail.drain()])
  }

  #processor(slot: Slot): QueueProcessor<FetchDataCall, FetchResponse> {
    const queue = this.#queues[slot]
    return {
      name: slot,
      get isEmpty() {
        return queue.isEmpty
      },
      nextCall: () => this.#nextCall(slot),
      send: (client, call) => this.#send(client, call),
      processResponse: (call, response) => this.#processResponse(call, response),
      callFailed: (call, error) => this.#callFailed(call, error)
    }
  }

  #nextCall(slot: Slot): FetchDataCall | undefined {
    const partitions = new Map<string, Wanted>()
    while (partitions.size === 0 && !this.#queues[slot].isEmpty) {
      for (const [key, { subkey, waiters }] of this.#queues[slot].takeHeads(this.#options.maxPartitionsPerCall)) {
        const open = stillOpen(waiters)
        if (open.length > 0) partitions.set(key, toWanted(subkey, open))
      }
    }
    if (partitions.size === 0) return undefined
    if (slot === 'tail') this.#addExpected(partitions)
    const call: FetchDataCall = { slot, partitions, client: undefined }
    this.#inFlight[slot] = call
    return call
  }

  #addExpected(partitions: Map<string, Wanted>): void {
    const stillLikely = this.#options.now() - this.#expectedAt < this.#options.fetchMaxWaitMs
    for (const [key, wanted] of stillLikely ? this.#expected : []) {
      if (partitions.size >= this.#options.maxPartitionsPerCall) break
      if (!partitions.has(key)) partitions.set(key, wanted)
    }
    this.#expected = new Map()
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
    this.#inFlight[call.slot] = undefined
    if (error instanceof TimedOutError) this.#maxBytes = this.#lessBytes()
    return stillOpen([...call.partitions.values()].flatMap(waitersOf))
  }

  #lessBytes(): number {
    return Math.min(this.#options.fetchMaxBytes, Math.max(SMALLEST_MAX_BYTES, Math.floor(this.#maxBytes / 4)))
  }

  #processResponse(call: FetchDataCall, response: FetchResponse): readonly Returned[] {
    this.#inFlight[call.slot] = undefined
    this.#maxBytes = Math.min(this.#options.fetchMaxBytes, this.#maxBytes * 2)
    this.#count('bytes_fetched', response.sizeBytes)
    const back: Returned[] = []
    const unanswered = new Map(call.partitions)
    if (response.errorCode === 0) {
      for (const partition of response.partitions) {
        const key = topicPartitionKey(partition.topic, partition.partition)
        const wanted = unanswered.get(key)
        if (!wanted) continue
        unanswered.delete(key)
        back.push(...this.#processPartition(call, key, wanted, partition))
      }
    }
    for (const [key, wanted] of unanswered) {
      back.push(...this.#processError(key, wanted, response.errorCode === 0 ? 13 : response.errorCode))
    }
    return back
  }

  #processPartition(
    call: FetchDataCall,
    key: string,
    wanted: Wanted,
    response: FetchPartitionResponse
  ): readonly Returned[] {
    const { errorCode, records } = response
    if (errorCode !== 0 && errorCode !== 2) return this.#processError(key, wanted, errorCode)
    const damaged = errorCode === 2 || records.corruption !== undefined
    if (damaged) this.#count('invalid_messages', 1)
    if (errorCode === 0) this.#room.saw(key, response.logStartOffset, this.#endOf(response))
    if (records.batches.length > 0) return this.#deliver(call, key, wanted, records.batches)
    if (damaged && (records.corruption?.offset ?? wanted.position) <= wanted.position) {
      return this.#processDamage(call, key, wanted, records.corruption?.nextOffset)
    }
    if (records.nextOffset > wanted.position) return this.#skipTo(key, wanted, records.nextOffset)
    return this.#processEmpty(call, key, wanted, this.#endOf(response))
  }

  #endOf(response: FetchPartitionResponse): Offset {
    return this.#room.isolationLevel === 'readCommitted' ? response.lastStableOffset : response.highWatermark
  }

  #deliver(call: FetchDataCall, key: string, wanted: Wanted, batches: readonly RecordBatch[]): readonly Returned[] {
    const batch = batches.length === 1 ? batches[0]! : this.#room.concat(batches)
    this.#room.keep(key, wanted.position, batch)
    this.#countShared(wanted)
    for (const waiter of wanted.waiters) this.#succeed(waiter, batch)
    for (const waiter of wanted.joined) this.#succeed(waiter, batch)
    this.#serveQueued(key, wanted.position, batch)
    if (call.slot === 'tail') this.#expect(key, wanted, batch.nextOffset)
    return []
  }

  /** Queued requests whose offset lies in what has just arrived need no call of their own. */
  #serveQueued(key: string, start: Offset, batch: RecordBatch): void {
    for (const queue of [this.#queues.catchUp, this.#queues.tail]) {
      for (const [offset] of [...(queue.get(key) ?? [])]) {
        if (offset < start || offset >= batch.nextOffset) continue
        const slice = offset <= batch.offset ? batch : batch.sliceFrom(offset)
        if (!slice) continue
        const waiters = queue.remove(key, offset)
        this.#count('avoided_fetches', waiters.length)
        for (const waiter of waiters) this.#succeed(waiter, slice)
      }
    }
  }

  /** Control batches, aborted transactions, compacted ranges: reading goes on behind them without the requester. */
  #skipTo(key: string, wanted: Wanted, position: Offset): readonly Returned[] {
    const waiters = stillOpen(waitersOf(wanted))
    for (const waiter of waiters) waiter.position = position
    if (waiters.length > 0) this.#queues.catchUp.putFirst(key, position, waiters)
    return []
  }

  #processEmpty(call: FetchDataCall, key: string, wanted: Wanted, end: Offset): readonly Returned[] {
    const waiters = stillOpen(waitersOf(wanted))
    if (wanted.position < end) {
      // The partition came too late in a response that was full; first in turn, it will be served. If it was first
      // already, the broker holds something back: ask again, but not at once.
      if (call.partitions.values().next().value === wanted) return returned('retryLater', waiters)
      if (waiters.length > 0) this.#queues.catchUp.putFirst(key, wanted.position, waiters)
      return []
    }
    const now = this.#options.now()
    const patient = waiters.filter(waiter => now - waiter.acceptedAt < this.#options.fetchMaxWaitMs)
    for (const waiter of patient) this.#queues.tail.add(key, wanted.position, waiter)
    if (patient.length < waiters.length) this.#countShared(wanted)
    replyAll(
      waiters.filter(waiter => !patient.includes(waiter)),
      { type: 'noMessages' }
    )
    if (call.slot === 'tail' && wanted.waiters.length + wanted.joined.length > 0) {
      this.#expect(key, wanted, wanted.position)
    }
    return []
  }

  /** Once may have been the way here; twice is the broker's disk. */
  #processDamage(call: FetchDataCall, key: string, wanted: Wanted, next: Offset | undefined): readonly Returned[] {
    const waiters = stillOpen(waitersOf(wanted))
    if (waiters.every(waiter => waiter.damages === 0)) {
      for (const waiter of waiters) waiter.damages++
      void call.client?.close()
      return returned('retryLater', waiters)
    }
    const nextOffset = Math.max(next ?? 0, wanted.position + 1)
    replyAll(waiters, { type: 'corruptMessage', nextOffset })
    for (const queue of [this.#queues.catchUp, this.#queues.tail]) {
      for (const [offset] of [...(queue.get(key) ?? [])]) {
        if (offset < wanted.position || offset >= nextOffset) continue
        replyAll(queue.remove(key, offset), { type: 'corruptMessage', nextOffset })
      }
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
        for (const queue of [this.#queues.catchUp, this.#queues.tail]) {
          replyAll(queue.remove(key, wanted.position), { type: 'offsetOutOfRange' })
        }
        return []
      case 'unknownTopicOrPartition':
        this.#count('unknown_topic_or_partition_responses', 1)
        return returned(action, waiters)
      case 'notLeader':
        return returned(action, [
          ...waiters,
          ...this.#queues.catchUp.removeKey(key),
          ...this.#queues.tail.removeKey(key)
        ])
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

  #isAtEnd(key: string, position: Offset): boolean {
    return this.#options.fetchMaxWaitMs > 0 && this.#room.endOf(key) === position
  }

  #expect(key: string, { topic, partition, leaderEpoch }: Wanted, position: Offset): void {
    this.#expectedAt = this.#options.now()
    this.#expected.set(key, { topic, partition, leaderEpoch, position, waiters: [], joined: [] })
  }

  #succeed(waiter: Waiter, batch: RecordBatch): void {
    const { topicPartition, offset } = waiter.request
    waiter.answer({ operation: 'fetchData', topicPartition, offset, type: 'success', batch })
  }

  #countShared(wanted: Wanted): void {
    if (wanted.waiters.length > 0) this.#count('batched_requests', wanted.waiters.length)
    if (wanted.joined.length > 0) this.#count('avoided_fetches', wanted.joined.length)
  }

  #count(name: string, value: number): void {
    this.#options.metrics.count(DISPATCHER, name, this.#options.tags, value)
  }
}

const waitersOf = ({ waiters, joined }: Wanted): Waiter[] => [...waiters, ...joined]

function toWanted(position: Offset, waiters: readonly Waiter[]): Wanted {
  const { topic, partition } = waiters[0]!.request.topicPartition
  const leaderEpoch = Math.max(...waiters.map(waiter => waiter.leaderEpoch))
  return { topic, partition, position, leaderEpoch, waiters, joined: [] }
}
