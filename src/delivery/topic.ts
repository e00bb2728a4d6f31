import type { ProduceRecord } from '../model.js'
import type { RecordFailure } from '../operations.js'
import type { TopicMetadata } from '../wire/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../wire/error-codes.js'
import { failures } from './failures.js'
import type { Lane } from './lane.js'
import type { LaneHost } from './lane-host.js'
import { LookUp } from './look-up.js'
import { type Arrival, ParkedRecords, roughSizeOf } from './parked-records.js'
import { PartitionCount } from './partition-count.js'
import type { Partitioner } from './partitioners.js'
import type { Ticket } from './ticket.js'
import { TopicLanes } from './topic-lanes.js'
import type { UnknownTopic, UnknownTopics } from './unknown-topics.js'

/** A partition beyond the known ones is believed not to exist when the topic was found as recently as this. */
const FRESH_MS = 1_000

/** One topic: how many partitions it has, their lanes, and the records that came before anybody knew. */
export class Topic implements UnknownTopic {
  readonly name: string
  readonly lookUp: LookUp
  readonly #host: LaneHost
  readonly #unknown: UnknownTopics<Topic>
  /** A topic that vanishes keeps its lanes, for their sequences go on should it come back. */
  readonly #lanes: TopicLanes
  readonly #parked = new ParkedRecords()
  readonly #partitionCount = new PartitionCount()
  #isWantedByLane = false
  #lastUsedAt = Number.NEGATIVE_INFINITY
  /** The failure of the last look-up, with which further records are refused until `until`. */
  #remembered: { readonly failure: RecordFailure; readonly until: number } | undefined

  constructor(name: string, host: LaneHost, unknown: UnknownTopics<Topic>) {
    this.name = name
    this.#host = host
    this.#unknown = unknown
    this.lookUp = new LookUp(host.settings.metadataMaxAgeMs, host.random)
    this.#lanes = new TopicLanes(name, host)
  }

  get isKnown(): boolean {
    return this.#partitionCount.value > 0
  }

  /** Bytes of the records that wait for a look-up. */
  get waitingBytes(): number {
    return this.#parked.chargedBytes
  }

  /** When the oldest record that waits for its look-up was accepted; infinite: none waits. */
  get oldestParkedAt(): number {
    return this.#parked.oldestAt
  }

  get hasLanes(): boolean {
    return this.#lanes.all.length > 0
  }

  get lanes(): readonly (Lane | undefined)[] {
    return this.#lanes.all
  }

  /** Nothing that is remembered of it still applies: it may be forgotten. */
  isOver(nowMs: number): boolean {
    return !(this.#remembered !== undefined && nowMs < this.#remembered.until) && !this.lookUp.isDenied(nowMs)
  }

  /** It was found, and records were sent there since it was last asked for. */
  isRefreshDue(nowMs: number): boolean {
    return this.isKnown && this.#lastUsedAt > this.lookUp.answeredAt && this.lookUp.isDue(nowMs)
  }

  /** A lane was told that it does not exist. */
  wantedByLane(nowMs: number): void {
    this.#isWantedByLane = true
    this.lookUp.want(nowMs)
  }

  /** A lane was told that it does not exist, and no look-up has ended since. */
  get isWantedByLane(): boolean {
    return this.#isWantedByLane
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
    const count = this.#partitionCount.value
    if (count > 0 && (partition === undefined || partition < count)) {
      const lane = this.#lanes.withRoom(record, partitioner, count, ticket)
      if (lane === undefined) return this.#laneFull(this.#lanes.partitionOf(record, partitioner, count))
      lane.append(record, timestampMs, ticket, index)
      return undefined
    }
    if (count > 0 && this.#isFresh(nowMs)) return failures.unknownPartition(this.name, partition)
    return this.#park({ record, partitioner, timestampMs, ticket, index }, nowMs)
  }

  #isFresh(nowMs: number): boolean {
    return nowMs - this.lookUp.foundAt < FRESH_MS
  }

  #laneFull(partition: number): RecordFailure {
    const { maxLaneBytes } = this.#host.settings
    return failures.overloaded(`the lane of ${this.name}/${partition} is`, maxLaneBytes, 'delivery.maxLaneBytes')
  }

  #park(arrival: Arrival, nowMs: number): RecordFailure | undefined {
    if (this.#remembered !== undefined && nowMs < this.#remembered.until) return this.#remembered.failure
    this.#remembered = undefined
    const isDenied = this.lookUp.isDenied(nowMs)
    if (this.#parked.recordCount === 0) {
      const refusal = isDenied ? undefined : this.#unknown.refusal(arrival.ticket)
      if (refusal !== undefined) return refusal
      arrival.ticket.newTopics++
      this.#unknown.enter(this, isDenied ? 'missing' : 'pending')
    }
    const refusal = this.#parkingRefusal(arrival, isDenied)
    if (refusal !== undefined) {
      if (this.#parked.recordCount === 0) this.#unknown.leave(this, nowMs)
      return refusal
    }
    const charge = this.#parked.add(arrival)
    this.#host.held(charge, 1)
    this.#unknown.grew(this, charge)
    this.lookUp.want(nowMs)
    this.#host.lookUpSoon()
    return undefined
  }

  /** A topic that may exist may hold as many bytes as a lane; a topic that brokers denied may hold few. */
  #parkingRefusal({ record, ticket }: Arrival, isDenied: boolean): RecordFailure | undefined {
    const { unknownTopicMaxBytes, maxLaneBytes, maxBytes } = this.#host.settings
    const bytes = roughSizeOf(record)
    const limit = isDenied ? unknownTopicMaxBytes : maxLaneBytes
    const fits = this.#parked.chargedBytes + bytes <= limit && this.#unknown.hasRoom(this, bytes)
    if (fits || (this.#parked.isOnlyOf(ticket) && this.#unknown.isAlone(this) && this.#host.hasSpare(bytes))) {
      return undefined
    }
    if (isDenied) {
      const what = `the buffer of the unknown topic ${this.name} is`
      return failures.overloaded(what, unknownTopicMaxBytes, 'delivery.unknownTopicMaxBytes')
    }
    const what = `the buffer of records that wait until the partitions of ${this.name} are known is`
    return failures.overloaded(what, Math.min(maxLaneBytes, maxBytes / 4), 'delivery.maxLaneBytes, delivery.maxBytes')
  }

  /** What a look-up brought; `undefined`: nobody answered. */
  lookedUp(metadata: TopicMetadata | undefined, nowMs: number): void {
    this.#isWantedByLane = false
    if (metadata?.errorCode === errorCodes.NONE && metadata.partitions.length > 0) this.#found(metadata, nowMs)
    else this.#notFound(metadata, nowMs)
  }

  #notFound(metadata: TopicMetadata | undefined, nowMs: number): void {
    const code = metadata?.errorCode ?? errorCodes.NONE
    this.lookUp.fruitless(nowMs, code === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    const isFinal = !kafkaErrorOf(code).retriable && code !== errorCodes.NONE
    if (!this.isKnown && isFinal) this.#giveUp(failures.rejected(code, 'no'), nowMs)
    else this.tick(nowMs)
    const isWaitedFor = this.#parked.recordCount > 0
    // A known one too: a look-up that came to nothing must not be the last.
    if (isWaitedFor || this.isKnown) this.lookUp.want(nowMs)
    if (isWaitedFor && this.lookUp.isDenied(nowMs)) this.#unknown.enter(this, 'missing')
  }

  #found(metadata: TopicMetadata, nowMs: number): void {
    this.lookUp.found(nowMs)
    this.#partitionCount.told(metadata)
    this.#remembered = undefined
    if (this.#partitionCount.isDoubted) this.lookUp.want(nowMs)
    for (const arrival of this.#takeParked(nowMs)) this.#enterLane(arrival, nowMs)
  }

  /** A record that has been accepted is not refused because its lane is full. */
  #enterLane({ record, partitioner, timestampMs, ticket, index }: Arrival, nowMs: number): void {
    const { partition } = record
    if (partition !== undefined && partition >= this.#partitionCount.value) {
      ticket.settle(index, failures.unknownPartition(this.name, partition))
      return
    }
    this.#lastUsedAt = nowMs
    const count = this.#partitionCount.value
    const lane = this.#lanes.withRoom(record, partitioner, count, ticket)
    const chosen = lane ?? this.#lanes.of(this.#lanes.partitionOf(record, partitioner, count))
    chosen.append(record, timestampMs, ticket, index)
  }

  #takeParked(nowMs: number): readonly Arrival[] {
    const { chargedBytes, recordCount } = this.#parked
    const arrivals = this.#parked.takeAll()
    this.#unknown.grew(this, -chargedBytes)
    this.#host.held(-chargedBytes, -recordCount)
    this.#unknown.leave(this, nowMs)
    return arrivals
  }

  /** Ends waits that are over. */
  tick(nowMs: number): void {
    if (this.#parked.recordCount === 0) return
    const isDenied = this.lookUp.deniedForMs(nowMs) >= this.#host.settings.unknownTopicWaitMs
    if (isDenied) this.#giveUp(failures.unknownTopic(this.name), nowMs)
    else this.#expireParked(nowMs)
  }

  #expireParked(nowMs: number): void {
    const bytes = this.#parked.chargedBytes
    const failure = this.lookUp.isDenied(nowMs)
      ? failures.unknownTopic(this.name)
      : failures.timedOut('the partitions of its topic are not known yet', 'no', this.#host.awayBecause)
    const expired = this.#parked.expire(nowMs, failure)
    if (expired === 0) return
    this.#host.counters.withdrawn += expired
    this.#host.held(this.#parked.chargedBytes - bytes, -expired)
    this.#unknown.grew(this, this.#parked.chargedBytes - bytes)
    if (this.#parked.recordCount === 0) this.#unknown.leave(this, nowMs)
  }

  #giveUp(failure: RecordFailure, nowMs: number): void {
    this.#remembered = { failure, until: nowMs + this.#host.settings.unknownTopicWaitMs }
    this.lookUp.reset()
    this.failParked(failure)
  }

  /** Its lanes were told for too long that it does not exist. */
  missing(nowMs: number): void {
    this.#partitionCount.forget()
    this.#giveUp(failures.unknownTopic(this.name), nowMs)
    for (const lane of this.#lanes.all) {
      lane?.failWaiting(maybeWritten => failures.unknownTopic(this.name, maybeWritten ? 'unknown' : 'no'))
    }
  }

  /** Another cluster is connected: whether the topic exists there, and with how many partitions, is looked up anew. */
  clusterChanged(nowMs: number): void {
    this.#partitionCount.forget()
    this.#remembered = undefined
    this.lookUp.reset()
    if (this.#parked.recordCount > 0) this.lookUp.wantNow(nowMs)
    for (const lane of this.#lanes.all) lane?.clusterChanged()
  }

  /** Nobody has produced to it for so long, and nothing of it is on its way. */
  isUnused(forMs: number, nowMs: number): boolean {
    if (this.#parked.recordCount > 0 || nowMs - this.#lastUsedAt < forMs) return false
    return this.#lanes.all.every(lane => lane === undefined || lane.isIdle)
  }

  /** Others that were denied later need its place. */
  giveWay(): void {
    this.failParked(failures.unknownTopic(this.name))
  }

  failParked(failure: RecordFailure): void {
    this.#host.counters.failed += this.#parked.recordCount
    for (const { ticket, index } of this.#takeParked(this.#host.clock())) ticket.settle(index, failure)
  }

  /** A batch was sealed or filled: records that may go anywhere move on with the next one. */
  batchClosed(partition: number): void {
    this.#lanes.batchClosed(partition)
  }
}
