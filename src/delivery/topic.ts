import type { ProduceRecord } from '../model.js'
import type { RecordFailure } from '../operations.js'
import type { TopicMetadata } from '../wire/broker-client.js'
import { kafkaErrorOf } from '../wire/error-codes.js'
import { failures } from './failures.js'
import { Lane } from './lane.js'
import type { LaneHost } from './lane-host.js'
import { LookUp } from './look-up.js'
import { PartitionChoice } from './partition-choice.js'
import type { Partitioner } from './partitioners.js'
import type { Ticket } from './ticket.js'
import { roughSizeOf, WaitingRoom } from './waiting-room.js'

/** A partition beyond the known ones is believed not to exist when the topic was found as recently as this. */
const FRESH_MS = 1_000
const UNKNOWN_TOPIC_OR_PARTITION = 3

/** A record on its way in: who waits for it and as what. */
export interface Arrival {
  readonly record: ProduceRecord
  readonly partitioner: Partitioner
  readonly timestampMs: number
  readonly ticket: Ticket
  readonly index: number
}

/** One topic: how many partitions it has, their lanes, and the records that came before anybody knew. */
export class Topic {
  readonly name: string
  readonly lookUp: LookUp
  readonly #host: LaneHost
  readonly #choice: PartitionChoice
  readonly #lanes: Lane[] = []
  readonly #room = new WaitingRoom()
  /** 0: not known. A topic that vanishes keeps its lanes, for their sequences go on should it come back. */
  #partitionCount = 0
  #isWantedByLane = false
  #lastUsedAt = Number.NEGATIVE_INFINITY
  /** What became of looking it up in vain, told to everybody for a while. */
  #verdict: { readonly failure: RecordFailure; readonly until: number } | undefined

  constructor(name: string, host: LaneHost) {
    this.name = name
    this.#host = host
    this.lookUp = new LookUp(host.settings.metadataMaxAgeMs, host.random)
    this.#choice = new PartitionChoice(name, this.#lanes, host.random)
  }

  get isKnown(): boolean {
    return this.#partitionCount > 0
  }

  /** Records wait for a look-up. */
  get isWaitedFor(): boolean {
    return this.#room.recordCount > 0
  }

  /** Records would go there if it existed. */
  get needsCreation(): boolean {
    return this.isWaitedFor || this.#isWantedByLane
  }

  get lanes(): readonly (Lane | undefined)[] {
    return this.#lanes
  }

  /** It takes a place among the topics nobody knows. One that was known and has vanished does while records wait for it. */
  get isUnknown(): boolean {
    return !this.isKnown && (this.#lanes.length === 0 || this.isWaitedFor)
  }

  /** Nothing would be lost by forgetting it. */
  isForgettable(nowMs: number): boolean {
    return (
      this.#lanes.length === 0 && !this.isWaitedFor && !(this.#verdict !== undefined && nowMs < this.#verdict.until)
    )
  }

  isLookUpDue(nowMs: number): boolean {
    const matters = !this.isKnown || this.needsCreation || this.#lastUsedAt > this.lookUp.answeredAt
    return matters && this.lookUp.isDue(nowMs)
  }

  /** A lane was told that it does not exist. */
  wantedByLane(nowMs: number): void {
    this.#isWantedByLane = true
    this.lookUp.want(nowMs)
  }

  /** Takes a record, in order, or says at once why not. */
  put(
    record: ProduceRecord,
    partitioner: Partitioner,
    timestampMs: number,
    ticket: Ticket,
    index: number,
    nowMs: number
  ): RecordFailure | undefined {
    this.#lastUsedAt = nowMs
    const { partition } = record
    const count = this.#partitionCount
    if (count > 0 && (partition === undefined || partition < count)) {
      const lane = this.#laneOf(partition ?? this.#choice.of(record.key, partitioner, count))
      return this.#append(lane, record, timestampMs, ticket, index)
    }
    if (count > 0 && nowMs - this.lookUp.foundAt < FRESH_MS) return failures.unknownPartition(this.name, partition)
    return this.#park({ record, partitioner, timestampMs, ticket, index }, nowMs)
  }

  #append(
    lane: Lane,
    record: ProduceRecord,
    timestampMs: number,
    ticket: Ticket,
    index: number
  ): RecordFailure | undefined {
    const { maxLaneBytes } = this.#host.settings
    if (lane.chargedBytes + roughSizeOf(record) > maxLaneBytes) {
      return failures.overloaded(`the lane of ${this.name}/${lane.partition} is`, maxLaneBytes, 'delivery.maxLaneBytes')
    }
    lane.append(record, timestampMs, ticket, index)
    return undefined
  }

  #laneOf(partition: number): Lane {
    return (this.#lanes[partition] ??= new Lane(this.name, partition, this.#host))
  }

  #park(arrival: Arrival, nowMs: number): RecordFailure | undefined {
    if (this.#verdict !== undefined && nowMs < this.#verdict.until) return this.#verdict.failure
    const { unknownTopicMaxBytes: maxBytes } = this.#host.settings
    if (this.#room.chargedBytes + roughSizeOf(arrival.record) > maxBytes) {
      const what = `the waiting room of the unknown topic ${this.name} is`
      return failures.overloaded(what, maxBytes, 'delivery.unknownTopicMaxBytes')
    }
    this.#verdict = undefined
    this.#host.held(this.#room.add(arrival), 1)
    this.lookUp.want(nowMs)
    this.#host.lookUpSoon()
    return undefined
  }

  /** What a look-up brought; `undefined`: nobody answered. */
  lookedUp(metadata: TopicMetadata | undefined, nowMs: number): void {
    this.#isWantedByLane = false
    if (metadata?.errorCode === 0 && metadata.partitions.length > 0) this.#found(metadata.partitions.length, nowMs)
    else this.#notFound(metadata, nowMs)
  }

  #notFound(metadata: TopicMetadata | undefined, nowMs: number): void {
    const code = metadata?.errorCode ?? 0
    const denied = code === UNKNOWN_TOPIC_OR_PARTITION
    this.lookUp.fruitless(nowMs, denied)
    const isFinal = !kafkaErrorOf(code).retriable && code !== 0
    if (!this.isKnown && isFinal) this.#giveUp(failures.rejected(code, 'no'), nowMs)
    else this.tick(nowMs)
    // A known one too: a look-up that came to nothing must not be the last.
    if (this.isWaitedFor || this.isKnown) this.lookUp.want(nowMs)
  }

  #found(partitionCount: number, nowMs: number): void {
    this.lookUp.found(nowMs)
    this.#partitionCount = partitionCount
    this.#verdict = undefined
    this.#host.held(-this.#room.chargedBytes, -this.#room.recordCount)
    for (const { record, partitioner, timestampMs, ticket, index } of this.#room.takeAll()) {
      const failure = this.put(record, partitioner, timestampMs, ticket, index, nowMs)
      if (failure !== undefined) ticket.settle(index, failure)
    }
  }

  /** Ends waits that are over. */
  tick(nowMs: number): void {
    if (!this.isWaitedFor) return
    const isDenied = this.lookUp.deniedForMs(nowMs) >= this.#host.settings.unknownTopicWaitMs
    if (isDenied) this.#giveUp(failures.unknownTopic(this.name), nowMs)
    else this.#expireParked(nowMs)
  }

  #expireParked(nowMs: number): void {
    const bytes = this.#room.chargedBytes
    const failure = this.lookUp.isDenied(nowMs)
      ? failures.unknownTopic(this.name)
      : failures.timedOut('the partitions of its topic are not known yet', 'no')
    const expired = this.#room.expire(nowMs, failure)
    this.#host.counters.withdrawn += expired
    this.#host.held(this.#room.chargedBytes - bytes, -expired)
  }

  #giveUp(failure: RecordFailure, nowMs: number): void {
    this.#verdict = { failure, until: nowMs + this.#host.settings.unknownTopicWaitMs }
    this.lookUp.reset()
    this.failParked(failure)
  }

  /** Its lanes were told for too long that it does not exist. */
  missing(nowMs: number): void {
    this.#partitionCount = 0
    this.#giveUp(failures.unknownTopic(this.name), nowMs)
    for (const lane of this.#lanes) {
      lane?.failWaiting(maybeWritten => failures.unknownTopic(this.name, maybeWritten ? 'unknown' : 'no'))
    }
  }

  failParked(failure: RecordFailure): void {
    this.#host.counters.failed += this.#room.recordCount
    this.#host.held(-this.#room.chargedBytes, -this.#room.recordCount)
    this.#room.fail(failure)
  }

  /** A batch was sealed or filled: records that may go anywhere move on with the next one. */
  batchClosed(partition: number): void {
    this.#choice.batchClosed(partition)
  }
}
