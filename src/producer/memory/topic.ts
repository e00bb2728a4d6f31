import { costOf, type InPieces, type LoopTurns, PIECE_COST } from '../../core/loop-turns.js'
import { LONG_AGO, type Persisted, type ProduceRecord, type RecordFailure } from '../../core/model.js'
import type { TopicNews } from '../../router/messages/operations.js'
import { type Budget, PARTITION_LIMITS, partitionFull } from './budget.js'
import { failures, NOT_CREATED } from './failures.js'
import type { PartitionProducer } from './partition-producer.js'
import type { PartitionProducerDeps } from './partition-producer-deps.js'
import { type Partitioner, placedBy } from './partitioners.js'
import type { Arrival, MemoryPendingProduce, Row } from './pending-produce.js'
import { type MisplacedRecords, TopicProducers } from './topic-producers.js'
import type { TopicSubscription } from './topic-subscription.js'
import { isQuiet, type TopicView, type TroubledPartition, troubledOf, viewOf } from './topic-view.js'
import type { UnknownTopic, UnknownTopics } from './unknown-topics.js'
import { persistedOf } from './verdict.js'
import { CapacityLine, type CapacityLines, roughSizeOf, WaitingRecords } from './waiting-records.js'

/** For this time after a look-up has not found a partition, records for such partitions are refused without another one. */
const FRESH_MS = 1_000
/** For this time after brokers have answered that a topic does not exist, its records are refused without a look-up. */
const DENIAL_COUNTS_FOR_MS = 5_000

/** What the limit of a topic that is not known may be at times. */
const LESS = 'less while other such topics wait or the buffer fills'

const LOOKING_UP = 'looking up the topic'
const NOT_THERE = 'brokers report that there is no such topic, and are asked again'

const NO_PRODUCERS: readonly undefined[] = []
const NONE_WAIT = new WaitingRecords()
const NONE_QUEUED = new CapacityLine(() => undefined)

/** Shared by all topics and partitions of delivery from memory. */
export interface MemoryDeps extends PartitionProducerDeps {
  readonly budget: Budget
  readonly capacityLines: CapacityLines
  /** Memory for all records that wait for capacity. */
  readonly waitingMaxBytes: number
  readonly turns: Pick<LoopTurns, 'run'>
}

export interface TopicDeps extends MemoryDeps {
  readonly unknown: UnknownTopics<Topic>
  readonly lookUps: TopicSubscription<Topic>
}

/** One topic: its number of partitions, their producers, and records that came before the partitions were known. */
export class Topic implements UnknownTopic, MisplacedRecords {
  readonly name: string
  /** The client that named it first, in whose turn it is created; `undefined`: it is not known. */
  readonly client: string | undefined
  readonly #deps: TopicDeps
  /** Kept while the topic is missing, because sequences go on if it comes back. */
  readonly #producers: TopicProducers
  /** Records that wait until the partitions are known. None of most topics do, so they share one that stays empty. */
  #deferred = NONE_WAIT
  /** Records for which `#deferred` or the whole buffer had no capacity. */
  #line = NONE_QUEUED
  /** Whether records that have waited enter their partitions or fail now, in turns with other long work. */
  #isEntering = false
  /** Why the records that wait fail; `undefined`: they do not. */
  #givenUp: RecordFailure | undefined
  /** 0: not known. */
  #partitionCount = 0
  /** The number of partitions among which records were placed last. */
  #placedAmong = 0
  /** When that number changed. Records that are older and were not sent yet may have been placed among another one. */
  #changedAt = LONG_AGO
  /** The number of partitions for which a leader did not know one of them. */
  #doubted = 0
  /** When a look-up last did not find the partition of a record. */
  #absentAt = LONG_AGO
  #deniedAt = LONG_AGO
  /** `waits`: no broker was asked to create it yet. `begun`: one may be about to. */
  #creation: keyof typeof NOT_CREATED | undefined
  #lastUsedAt = LONG_AGO
  /** The Router said that there is no such topic; further records are refused until `until`. */
  #remembered: { readonly failure: RecordFailure; readonly until: number } | undefined

  constructor(name: string, client: string | undefined, deps: TopicDeps) {
    this.name = name
    this.client = client
    this.#deps = deps
    this.#producers = new TopicProducers(name, deps, this)
  }

  get isKnown(): boolean {
    return this.#partitionCount > 0
  }

  /** Bytes of the records that wait until the partitions are known. */
  get waitingBytes(): number {
    return this.#deferred.chargedBytes
  }

  /** When the oldest record that waits until the partitions are known was accepted; infinite: none waits. */
  get oldestWaitingAt(): number {
    return this.#deferred.oldestAt
  }

  /** Records wait until its partitions are known. */
  get #isWaitedFor(): boolean {
    return this.#deferred.recordCount > 0 || !this.#line.isEmpty
  }

  get hasProducers(): boolean {
    return this.#producers.all.length > 0
  }

  get producers(): readonly (PartitionProducer | undefined)[] {
    return this.#producers.all
  }

  /** Partitions whose records do not flow. */
  get troubled(): readonly TroubledPartition[] {
    return troubledOf(this.#producers.all)
  }

  /** The waiting records of the topic for the status page; `undefined`: none wait. */
  view(nowMs: number): TopicView | undefined {
    const isKnownQuiet = this.isKnown && this.#remembered === undefined && !this.#isWaitedFor
    return isKnownQuiet && isQuiet(this.#producers.all, nowMs) ? undefined : this.#view(nowMs)
  }

  #view(nowMs: number): TopicView {
    const producers = viewOf(this.#producers.all, nowMs)
    const { partitions, troubledCount } = producers
    const oldest = Math.min(producers.oldestAt, this.oldestWaitingAt)
    const bytes = producers.bytes + this.waitingBytes
    const remembered =
      this.#remembered !== undefined && nowMs < this.#remembered.until ? this.#remembered.failure : undefined
    const refusal = remembered ?? producers.refusal
    return {
      topic: this.name,
      state: this.#stateOf(refusal, troubledCount, bytes, nowMs),
      records: producers.records + this.#deferred.recordCount,
      bytes,
      oldestAgeMs: Number.isFinite(oldest) ? Math.max(0, nowMs - oldest) : 0,
      partitions,
      troubledCount,
      refusal
    }
  }

  #stateOf(refusal: TopicView['refusal'], troubled: number, bytes: number, nowMs: number): TopicView['state'] {
    if (refusal?.code === 'notAuthorized') return 'refused'
    const isMissing = this.#isDenied(nowMs) && !this.isKnown && this.#creation === undefined
    if (refusal?.code === 'unknownTopic' || isMissing) return 'missing'
    if (troubled > 0) return 'stuck'
    if (this.#isWaitedFor && !this.isKnown) return 'lookingUp'
    return bytes > 0 ? 'flowing' : 'idle'
  }

  /** Whether the topic may be forgotten: no remembered failure or denial is still valid. */
  isOver(nowMs: number): boolean {
    return !(this.#remembered !== undefined && nowMs < this.#remembered.until) && !this.#isDenied(nowMs)
  }

  /** Takes a record, in order. @returns why it is refused at once */
  put(
    record: ProduceRecord,
    partitioner: Partitioner,
    timestampMs: number,
    pendingProduce: MemoryPendingProduce,
    index: number,
    nowMs: number
  ): RecordFailure | undefined {
    this.#lastUsedAt = Math.floor(nowMs)
    const { partition } = record
    const isAbsent = this.#isAbsent(record)
    if (this.isKnown && isAbsent && nowMs - this.#absentAt < FRESH_MS)
      return failures.unknownPartition(this.name, partition)
    if (!this.isKnown || isAbsent || this.#areOthersEntering)
      return this.#enqueue({ record, partitioner, timestampMs, pendingProduce, index }, nowMs)
    return this.#putInPartition(record, partitioner, timestampMs, pendingProduce, index, nowMs)
  }

  #isAbsent({ partition }: ProduceRecord): boolean {
    return partition !== undefined && partition >= this.#partitionCount
  }

  /** Records that came before wait for their turn to enter partitions that are known. */
  get #areOthersEntering(): boolean {
    return this.#isEntering && this.#isWaitedFor
  }

  #putInPartition(
    record: ProduceRecord,
    partitioner: Partitioner,
    timestampMs: number,
    pendingProduce: MemoryPendingProduce,
    index: number,
    nowMs: number
  ): RecordFailure | undefined {
    const placed = this.#placed(record, partitioner)
    if (!('topic' in placed)) return placed
    const producer = this.#producers.withCapacity(placed, partitioner, this.#partitionCount, pendingProduce)
    if (producer === undefined)
      return this.#waitForCapacity({ record: placed, partitioner, timestampMs, pendingProduce, index }, nowMs)
    producer.append(placed, timestampMs, pendingProduce, index)
    return undefined
  }

  /**
   * Takes the first records of a row, if their partition has much free capacity. All of them name the same partition, or
   * have no key.
   *
   * @param bytes of all records, bookkeeping included
   * @returns how many it took
   */
  putRow(row: Row, partition: number | undefined, partitioner: Partitioner, bytes: number, nowMs: number): number {
    const count = this.#partitionCount
    if (count === 0 || (partition !== undefined && partition >= count) || this.#areOthersEntering) return 0
    const producer = this.#producers.ofRow(partition, partitioner, count)
    // Each record takes some of the capacity, and of the share that is left to the partition.
    if (producer?.charge.allows(2 * bytes, row.pendingProduce) !== true) return 0
    this.#lastUsedAt = Math.floor(nowMs)
    return producer.appendRow(row)
  }

  /**
   * Takes records of a partition that the topic no longer has, because it was created again. They wait, before later records,
   * until the topic is looked up. They fail if later records of their keys have already been sent to the present partitions.
   */
  misplaced(producer: PartitionProducer): void {
    const { unknown, lookUps } = this.#deps
    const nowMs = this.#deps.clock()
    const isRemembered = this.#remembered !== undefined && nowMs < this.#remembered.until
    // A look-up that was made for this reason has told the same partitions: the leader does not know its own.
    const isInVain = this.isKnown && this.#doubted === this.#placedAmong
    if (!this.#isPlacedLast(producer) || isRemembered || isInVain) return
    const arrivals = this.#takeFrom(producer)
    if (arrivals.length === 0) return
    const isFirst = !this.#isWaitedFor
    if (isFirst) unknown.enter(this, 'pending')
    this.#hold(this.#waiting.addFirst(arrivals), arrivals.length)
    if (isFirst || this.#isEntering) lookUps.follow(this, { anew: true })
    this.#partitionCount = 0
    this.#doubted = this.#placedAmong
  }

  /** Whether no later record can have been placed before the records of the producer. */
  #isPlacedLast({ partition, oldestAt }: PartitionProducer): boolean {
    return partition < this.#placedAmong && oldestAt >= this.#changedAt
  }

  /**
   * Takes back records that a partitioner has placed. Those that wait for capacity in the partition came later and are refused.
   */
  #takeFrom(producer: PartitionProducer): readonly Arrival[] {
    const { counters, capacityLines } = this.#deps
    counters.refused += capacityLines.close(producer, failures.unknownPartition(this.name, producer.partition))
    return producer.takePlaced()
  }

  #isDenied(nowMs: number): boolean {
    return nowMs - this.#deniedAt <= DENIAL_COUNTS_FOR_MS
  }

  /** The record, with its partition if a partitioner of the program chooses one; or why it cannot be placed. */
  #placed(record: ProduceRecord, partitioner: Partitioner): ProduceRecord | RecordFailure {
    const isOfProgram = record.partition === undefined && partitioner.isOfProgram
    return isOfProgram ? placedBy(partitioner, record, this.#partitionCount) : record
  }

  /** Lets a record wait whose partition has no capacity, if its request allows that. */
  #waitForCapacity(arrival: Arrival, nowMs: number): RecordFailure | undefined {
    const { budget, settings, capacityLines } = this.#deps
    const { record, partitioner, pendingProduce } = arrival
    const producer = this.#producers.of(this.#producers.partitionOf(record, partitioner, this.#partitionCount))
    if (pendingProduce.capacityUntil > nowMs && capacityLines.add(producer, arrival)) return undefined
    return partitionFull(producer, roughSizeOf(record), budget, settings.maxPartitionBytes)
  }

  #enqueue(arrival: Arrival, nowMs: number): RecordFailure | undefined {
    if (this.#givenUp !== undefined) return this.#givenUp
    if (this.#remembered !== undefined && nowMs < this.#remembered.until) return this.#remembered.failure
    this.#remembered = undefined
    const isFirst = !this.#isWaitedFor
    const isDenied = this.#isDenied(nowMs)
    if (isFirst) {
      const refusal = isDenied ? undefined : this.#deps.unknown.refusal(arrival.pendingProduce)
      if (refusal !== undefined) return refusal
      arrival.pendingProduce.newTopics++
      this.#deps.unknown.enter(this, isDenied ? 'missing' : 'pending')
    }
    const refusal = this.#overflowRefusal(arrival, isDenied)
    if (refusal !== undefined || !this.#line.isEmpty) {
      if (this.#mayQueue(arrival, nowMs)) {
        if (this.#line === NONE_QUEUED) this.#line = new CapacityLine(bytes => this.#deps.unknown.queued(bytes))
        this.#line.add(arrival)
        if (isFirst) this.#deps.lookUps.follow(this, { anew: this.isKnown })
        return undefined
      }
      if (isFirst) this.#deps.unknown.leave(this, nowMs)
      return refusal ?? this.#noCapacity(isDenied)
    }
    this.#defer(arrival)
    if (isFirst) this.#deps.lookUps.follow(this, { anew: this.isKnown })
    return undefined
  }

  /** The record waits until the partitions are known. */
  #defer(arrival: Arrival): true {
    if (!this.#isEntering) this.#deps.unknown.takePlace(this, arrival.pendingProduce)
    this.#hold(this.#waiting.add(arrival), 1)
    return true
  }

  /** The list of records that wait, made when the first one does. */
  get #waiting(): WaitingRecords {
    if (this.#deferred === NONE_WAIT) this.#deferred = new WaitingRecords()
    return this.#deferred
  }

  /** Counts records that wait or, negative, do not wait any more. */
  #hold(bytes: number, records: number): void {
    this.#deps.unknown.grew(this, bytes)
    this.#deps.budget.enqueue(bytes, records)
  }

  /** Counts records that leave unsent. */
  #withdrawn(bytes: number, records: number): void {
    this.#deps.counters.withdrawn += records
    this.#hold(-bytes, -records)
  }

  /** A pending topic, which may exist, may hold as many bytes as a partition; a denied topic may hold fewer. */
  #overflowRefusal({ record, pendingProduce }: Arrival, isDenied: boolean): RecordFailure | undefined {
    const { budget, unknown } = this.#deps
    const { unknownTopicMaxBytes, maxPartitionBytes, maxBytes } = this.#deps.settings
    const bytes = roughSizeOf(record)
    if (!budget.hasCapacity(bytes))
      return failures.overloaded('the buffer of records for kafka is', maxBytes, 'delivery.maxBytes')
    const noPlace = this.#isEntering ? undefined : unknown.placeRefusal(this, pendingProduce)
    if (noPlace !== undefined) return noPlace
    const limit = isDenied ? unknownTopicMaxBytes : budget.shareOf(maxPartitionBytes)
    const mayWait = unknown.hasCapacity(this, bytes) && (!isDenied || budget.mayHold(bytes))
    const fits = this.#deferred.chargedBytes + bytes <= limit && mayWait
    if (fits || (this.#deferred.isOnlyOf(pendingProduce) && unknown.isAlone(this) && budget.hasSpare(bytes)))
      return undefined
    return this.#noCapacity(isDenied)
  }

  #mayQueue({ record, pendingProduce }: Arrival, nowMs: number): boolean {
    return pendingProduce.capacityUntil > nowMs && this.#deps.unknown.mayQueue(roughSizeOf(record))
  }

  #noCapacity(isDenied: boolean): RecordFailure {
    const { unknownTopicMaxBytes, maxPartitionBytes, maxBytes } = this.#deps.settings
    if (isDenied) {
      const what = `the buffer of the unknown topic ${this.name} is`
      return failures.overloaded(what, unknownTopicMaxBytes, undefined, LESS)
    }
    const what = `the buffer of records that wait until the partitions of ${this.name} are known is`
    const [setting, told] = PARTITION_LIMITS
    return failures.overloaded(what, Math.min(maxPartitionBytes, maxBytes / 4), setting, `${told}; ${LESS}`)
  }

  told(news: TopicNews, nowMs: number): void {
    switch (news.type) {
      case 'known':
        this.#found(news.partitionCount, nowMs)
        break
      case 'denied':
        this.#deniedAt = Math.floor(nowMs)
        this.#creation = news.creation === 'asked' ? undefined : news.creation
        if (this.#isWaitedFor) this.#deps.unknown.enter(this, 'missing')
        break
      case 'missing':
        this.#missing(news.until, news.mayCome === true, nowMs)
        break
      case 'refused':
        this.#giveUp(failures.rejected(news.errorCode, 'no'), news.until)
    }
  }

  #found(partitionCount: number, nowMs: number): void {
    const { all } = this.#producers
    const isGone = (one: PartitionProducer | undefined): boolean => one !== undefined && this.#isPlacedLast(one)
    const gone = all.length > partitionCount ? all.slice(partitionCount).filter(isGone) : NO_PRODUCERS
    if (partitionCount !== this.#placedAmong) {
      this.#doubted = 0
      if (this.#placedAmong > 0) this.#changedAt = Math.ceil(nowMs)
    }
    this.#partitionCount = this.#placedAmong = partitionCount
    this.#forgetDenial()
    this.#givenUp = undefined
    const taken = gone.flatMap(producer => this.#takeFrom(producer!))
    if (taken.length === 0 && !this.#isWaitedFor) return
    this.#deps.unknown.enter(this, 'pending')
    // Records of removed partitions came before those that wait.
    if (taken.length > 0) this.#hold(this.#waiting.addFirst(taken), taken.length)
    this.#endWaits()
  }

  #endWaits(): void {
    if (this.#isEntering) return
    this.#isEntering = true
    this.#deps.turns.run(this.#enterInTurns(), this)
  }

  /** Ends when no record waits, or when it is not known any more what becomes of them. */
  *#enterInTurns(): InPieces<void> {
    while (this.#isDecided && this.#isWaitedFor) yield this.#enterSome()
    this.#isEntering = false
    this.#givenUp = undefined
    if (this.#isWaitedFor) return
    this.#deferred = NONE_WAIT
    this.#line = NONE_QUEUED
    this.#deps.unknown.leave(this, this.#deps.clock())
  }

  get #isDecided(): boolean {
    return this.isKnown || this.#givenUp !== undefined
  }

  /** @returns the cost */
  #enterSome(): number {
    const { counters, clock } = this.#deps
    const nowMs = clock()
    const left = (bytes: number, records: number): void => this.#hold(-bytes, -records)
    let cost = 0
    const enterFromLine = (arrival: Arrival): RecordFailure | undefined => {
      cost += costOf(roughSizeOf(arrival.record), 1)
      return this.#givenUp ?? this.#enterFromLine(arrival, nowMs)
    }
    // A caller that has heard of its records may have changed what waits.
    while (cost < PIECE_COST && this.#isDecided) {
      const arrival = this.#deferred.takeFirst(left)
      if (arrival !== undefined) {
        cost += costOf(roughSizeOf(arrival.record), 1)
        if (this.#givenUp === undefined) this.#enter(arrival, nowMs)
        else this.#fail(arrival, this.#givenUp)
        continue
      }
      const isRefused = this.#line.enterFirst(enterFromLine)
      if (isRefused === undefined) break
      if (isRefused) counters.refused++
    }
    return cost
  }

  /** A bug in one record does not affect others. */
  #enter(arrival: Arrival, nowMs: number): void {
    try {
      this.#enterProducer(arrival, nowMs)
    } catch (error) {
      this.#deps.log.error({ err: error, topic: this.name }, 'the placing of a record in its partition met a bug')
      arrival.pendingProduce.fail(arrival.index, failures.bug('unknown'), this.name)
    }
  }

  #enterFromLine(
    { record, partitioner, timestampMs, pendingProduce, index }: Arrival,
    nowMs: number
  ): RecordFailure | undefined {
    if (!this.#isAbsent(record))
      return this.#putInPartition(record, partitioner, timestampMs, pendingProduce, index, nowMs)
    this.#absentAt = Math.floor(nowMs)
    return failures.unknownPartition(this.name, record.partition)
  }

  /** A record that has been accepted is not refused because its partition is full. */
  #enterProducer({ record, partitioner, timestampMs, pendingProduce, index }: Arrival, nowMs: number): void {
    const { partition } = record
    const count = this.#partitionCount
    const isAbsent = this.#isAbsent(record)
    if (isAbsent) this.#absentAt = Math.floor(nowMs)
    const placed = isAbsent ? failures.unknownPartition(this.name, partition) : this.#placed(record, partitioner)
    if (!('topic' in placed)) {
      this.#fail({ pendingProduce, index }, placed)
      return
    }
    this.#lastUsedAt = Math.floor(nowMs)
    const producer = this.#producers.withCapacity(placed, partitioner, count, pendingProduce)
    const chosen = producer ?? this.#producers.of(this.#producers.partitionOf(placed, partitioner, count))
    chosen.append(placed, timestampMs, pendingProduce, index)
  }

  #fail({ pendingProduce, index }: Pick<Arrival, 'pendingProduce' | 'index'>, failure: RecordFailure): void {
    this.#deps.counters.failed++
    pendingProduce.fail(index, failure, this.name)
  }

  #takeWaiting(nowMs: number): readonly Arrival[] {
    const { chargedBytes, recordCount } = this.#deferred
    const arrivals = this.#deferred.takeAll()
    this.#deferred = NONE_WAIT
    this.#hold(-chargedBytes, -recordCount)
    this.#deps.unknown.leave(this, nowMs)
    return arrivals
  }

  /** Ends waits whose time is over. */
  tick(nowMs: number): void {
    // Of most topics, and there may be thousands, nothing is over.
    if (this.#line.isEmpty && this.#deferred.recordCount > 0 && this.#deferred.earliestDeadlineAt > nowMs) return
    const { counters, unknown, cluster } = this.#deps
    const failure = !this.#isDenied(nowMs)
      ? failures.timedOut('the partitions of its topic are not known yet', 'no', cluster.awayBecause)
      : this.#creation === undefined
        ? failures.unknownTopic(this.name)
        : failures.notCreatedInTime(this.name, this.#creation)
    const refusalOfQueued = ({ pendingProduce }: Arrival): RecordFailure =>
      unknown.placeRefusal(this, pendingProduce) ?? this.#noCapacity(this.#isDenied(nowMs))
    counters.refused += this.#line.refuseOver(nowMs, refusalOfQueued)
    this.#deferred.expire(nowMs, failure, (bytes, records) => this.#withdrawn(bytes, records))
    // Those that enter now find their places in their partitions.
    if (this.#isEntering) return
    const isDenied = this.#isDenied(nowMs)
    this.#line.enterWhile(arrival => this.#overflowRefusal(arrival, isDenied) === undefined && this.#defer(arrival))
    if (this.#isWaitedFor) return
    if (!this.isKnown) this.#deps.lookUps.unfollow(this)
    unknown.leave(this, nowMs)
  }

  #giveUp(failure: RecordFailure, until: number): void {
    this.#remembered = { failure, until }
    if (!this.#isWaitedFor) {
      this.#deps.unknown.leave(this, this.#deps.clock())
      return
    }
    this.#givenUp = failure
    this.#endWaits()
  }

  /** @param mayCome records whose requests were answered wait on: brokers may still create the topic */
  #missing(until: number, mayCome: boolean, nowMs: number): void {
    const failure = failures.unknownTopic(this.name)
    this.#partitionCount = 0
    if (mayCome && this.#deferred.hasAnswered) this.#failAwaited(failure, until, nowMs)
    else this.#giveUp(failure, until)
    for (const producer of this.#producers.all) {
      if (producer === undefined) continue
      this.#deps.counters.refused += this.#deps.capacityLines.close(producer, failure)
      const failureOf = (persisted: Persisted): RecordFailure => failures.unknownTopic(this.name, persisted)
      if (mayCome) producer.failAwaited(failureOf)
      else producer.failWaiting(maybeWritten => failureOf(persistedOf(maybeWritten)))
    }
  }

  /** Fails the records whose requests still wait for an answer. For the others, brokers are asked again after a pause. */
  #failAwaited(failure: RecordFailure, until: number, nowMs: number): void {
    const { counters, lookUps } = this.#deps
    this.#remembered = { failure, until }
    counters.refused += this.#line.enterAll(() => failure)
    counters.failed += this.#deferred.failAwaited(failure, (bytes, records) => this.#hold(-bytes, -records))
    // The topic counts as denied until it is looked up again.
    this.#deniedAt = Math.floor(until)
    this.#creation = undefined
    lookUps.follow(this, { pauseMs: Math.max(0, until - nowMs) })
  }

  /** Why Kafka does not have a record of this topic yet, as far as it can be said for all of them. */
  whyWaiting(): string {
    if (!this.isKnown) {
      const creation = this.#creation
      const isDenied = this.#isDenied(this.#deps.clock())
      const missing = isDenied ? NOT_THERE : LOOKING_UP
      const why = creation === undefined ? missing : `the topic waits for its creation: ${NOT_CREATED[creation]}`
      return this.#deps.cluster.awayBecause ?? why
    }
    const busy = this.#producers.all.filter(producer => producer !== undefined && !producer.isIdle)
    const stuck = busy.find(producer => producer?.state === 'backingOff') ?? busy[0]
    return stuck?.whyWaiting ?? 'it is about to be sent'
  }

  /** The next record for a topic or partition that is not known is not refused at once: the topic is looked up. */
  forgetMissing(): void {
    this.#absentAt = LONG_AGO
    this.#forgetDenial()
  }

  #forgetDenial(): void {
    this.#deniedAt = LONG_AGO
    this.#creation = undefined
    this.#remembered = undefined
  }

  /** Another cluster is connected: the topic is looked up there. */
  clusterChanged(): void {
    this.#partitionCount = 0
    this.#givenUp = undefined
    this.forgetMissing()
    if (this.#isWaitedFor) this.#deps.lookUps.follow(this)
    for (const producer of this.#producers.all) producer?.clusterChanged()
  }

  /** No request has produced to it for `forMs`, and no record of it is held. */
  isUnused(forMs: number, nowMs: number): boolean {
    if (this.#isWaitedFor || nowMs - this.#lastUsedAt < forMs) return false
    return this.#producers.all.every(producer => producer === undefined || producer.isIdle)
  }

  /** Fails the waiting records, because topics that were denied later need the place. */
  forgetUnsent(): void {
    this.failHeld(failures.unknownTopic(this.name))
    if (!this.isKnown) this.#deps.lookUps.unfollow(this)
  }

  /** Fails the records of a request that were not sent. */
  withdraw(pendingProduce: MemoryPendingProduce, failure: RecordFailure): void {
    const { counters, capacityLines } = this.#deps
    counters.refused += this.#line.withdraw(pendingProduce, failure)
    this.#deferred.withdraw(pendingProduce, failure, (bytes, records) => this.#withdrawn(bytes, records))
    for (const producer of this.#producers.all) {
      if (producer === undefined) continue
      counters.refused += capacityLines.withdraw(producer, pendingProduce, failure)
      producer.withdraw(pendingProduce, failure)
    }
  }

  /** Refuses all records that wait for capacity. */
  refuseWaiting(failure: RecordFailure): void {
    const { counters, capacityLines } = this.#deps
    counters.refused += this.#line.enterAll(() => failure)
    for (const producer of this.#producers.all)
      if (producer !== undefined) counters.refused += capacityLines.close(producer, failure)
  }

  failHeld(failure: RecordFailure): void {
    this.#deps.counters.failed += this.#deferred.recordCount
    this.#deps.counters.refused += this.#line.enterAll(() => failure)
    for (const { pendingProduce, index } of this.#takeWaiting(this.#deps.clock()))
      pendingProduce.fail(index, failure, this.name)
  }
}
