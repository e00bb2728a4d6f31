import { afterTicks, TICKS_OF_AN_ANSWER } from '../../core/actor/actor.js'
import { inTime } from '../../core/in-time.js'
import { costOf, type InPieces, LoopTurns, PIECE_COST } from '../../core/loop-turns.js'
import {
  type ClusterChange,
  isLegalTopicName,
  type Persisted,
  type ProduceRecord,
  type RecordFailure
} from '../../core/model.js'
import type { Notice } from '../../core/notice.js'
import { guardedLog, guardedMetrics } from '../../core/users-code.js'
import type { Produce } from '../../router/messages/operations.js'
import type { ReceiptHolder } from '../receipts/receipts.js'
import { overheadOf } from './batch.js'
import { Budget, type BufferCapacity, partitionFull } from './budget.js'
import { ClusterSender, type ClusterSenderOptions } from './cluster-sender.js'
import {
  type Delivery,
  type DeliveryDeps,
  DeliveryMetrics,
  type DeliveryStats,
  type ProduceOptions
} from './delivery.js'
import { failures } from './failures.js'
import { Losses } from './losses.js'
import { type MemoryReceipts, type Topics, topicsOf } from './memory-receipts.js'
import type { IdRefusal } from './numbering.js'
import type { PartitionProducer } from './partition-producer.js'
import { type Partitioner, partitionerOf } from './partitioners.js'
import { type KeyTag, MemoryPendingProduce, type PendingProduce } from './pending-produce.js'
import { checkProduceCall, checkRecord } from './record-checks.js'
import { toDeliverySettings } from './settings.js'
import { type MemoryDeps, Topic } from './topic.js'
import { ProducedTopics } from './topic-table.js'
import type { TopicView, TroubledPartition } from './topic-view.js'
import { persistedOf } from './verdict.js'
import { CapacityLines, roughSizeOf } from './waiting-records.js'

/** Deadlines are met with this precision. */
const TICK_MS = 50
/** Average number of partitions that are looked at for the metrics per tick. */
const PRODUCERS_PER_TICK = 250
const DEFAULT_PRODUCE_TIMEOUT_MS = 30_000
/** Limit of records that are examined together and then taken in one go. */
const MOST_IN_A_ROW = 256

/** A call of {@link MemoryDelivery.accept}. */
interface AcceptCall {
  readonly records: readonly ProduceRecord[]
  readonly options: ProduceOptions
  readonly holder: ReceiptHolder | undefined
  readonly pendingProduce: MemoryPendingProduce
  /** For records without a timestamp. */
  readonly timestampMs: number
  readonly partitioner: Partitioner
  /** Limit of a record. */
  readonly maxBytes: number
  /** Why all records are refused that were not taken yet. */
  refusal: RecordFailure | undefined
}

/** Delivery from memory: one flush per tick of the event loop, and one coarse timer for all deadlines. */
export class MemoryDelivery implements Delivery {
  readonly #deps: MemoryDeps
  readonly #sender: ClusterSender
  readonly #topics: ProducedTopics
  readonly #budget: Budget
  readonly #capacityLines: CapacityLines
  readonly #metrics: DeliveryMetrics
  readonly #losses: Losses
  readonly #receipts: MemoryReceipts | undefined
  #ticker: NodeJS.Timeout | undefined
  #tickAt = 0
  #lastTopic: Topic | undefined
  #ticksToReport = 0
  #isClosed = false
  #whenEmpty: (() => void)[] = []

  /** @param transaction absent: the records belong to none */
  constructor(deps: DeliveryDeps, transaction?: TransactionalSending) {
    const { clock } = deps
    const transactionalId = transaction?.transactionalId
    const settings = { ...toDeliverySettings(deps.settings), transactionalId }
    this.#budget = new Budget(settings.maxBytes, () => this.#heldChanged())
    const waitingMaxBytes = Math.max(settings.maxBytes, deps.waitingMaxBytes ?? 0)
    this.#capacityLines = new CapacityLines(waitingMaxBytes, ({ pendingProduce }) =>
      this.#metrics.waitedForCapacity(clock() - pendingProduce.acceptedAt)
    )
    this.#sender = new ClusterSender(deps, {
      ...transaction,
      settings,
      identityRefused: (producers, refusal) => {
        for (const producer of producers)
          producer.close(maybeWritten => ({ ...refusal, persisted: persistedOf(maybeWritten) }))
      }
    })
    this.#deps = {
      ...this.#sender.shared,
      waitingMaxBytes,
      turns: deps.turns ?? new LoopTurns(),
      budget: this.#budget,
      capacityLines: this.#capacityLines,
      waitedInPartition: waitedMs => this.#metrics.waitedInPartition(waitedMs)
    }
    this.#topics = new ProducedTopics(deps.router, this.#deps, topic => this.#forgotten(topic))
    this.#metrics = new DeliveryMetrics(deps.metrics, settings.maxBytes)
    this.#losses = deps.losses ?? new Losses(deps)
    this.#receipts = deps.receipts
  }

  get clusterId(): string | undefined {
    return this.#sender.clusterId
  }

  get clockAheadMs(): number | undefined {
    return this.#sender.shared.ownTime.clockAheadMs
  }

  get idRefusal(): IdRefusal | undefined {
    return this.#sender.idRefusal
  }

  get warnings(): readonly Notice[] {
    return this.#sender.shared.ownTime.warnings
  }

  get capacity(): BufferCapacity {
    return this.#budget
  }

  accept(
    records: readonly ProduceRecord[],
    options: ProduceOptions,
    holder?: ReceiptHolder,
    tag?: KeyTag
  ): PendingProduce {
    checkProduceCall(records, options)
    const nowMs = this.#deps.clock()
    const { capacityWaitMs = 0 } = options
    const { length } = records
    const pendingProduce = new MemoryPendingProduce(
      length,
      nowMs + this.#waitMsOf(options),
      nowMs,
      nowMs + capacityWaitMs,
      this.#losses,
      options,
      tag
    )
    const call: AcceptCall = {
      records,
      options,
      holder,
      pendingProduce,
      timestampMs: this.#deps.ownTime.now(),
      partitioner: partitionerOf(options.partitioner),
      maxBytes: options.maxRecordBytes ?? this.#deps.settings.maxRecordBytes,
      refusal: refusalOf(options)
    }
    const inTurns = length > MOST_IN_A_ROW ? holder?.inTurns : undefined
    if (inTurns === undefined) {
      this.#take(call, 0, length)
      this.#taken(call)
    } else {
      // No record counts as accepted before the last one is accepted.
      pendingProduce.wait()
      inTurns(this.#takeInTurns(call))
    }
    return pendingProduce
  }

  *#takeInTurns(call: AcceptCall): InPieces<void> {
    const { records, options, pendingProduce } = call
    // The call may have been aborted while it waited for its turn.
    call.refusal = refusalOf(options)
    for (let from = 0, to = 0; from < records.length; from = to) {
      let cost = 0
      while (to < records.length && cost < PIECE_COST) cost += costOf(roughSizeOf(records[to++]!), 1)
      this.#take(call, from, to)
      yield cost
    }
    this.#taken(call)
    pendingProduce.waited()
  }

  /** Takes the records from `from` on, up to but without `to`. */
  #take(call: AcceptCall, from: number, to: number): void {
    const { records, options, pendingProduce } = call
    // After a failed attempt to take a row, the next attempt is delayed more and more: each attempt looks at many records.
    let nextRowAt = from
    let pause = 1
    for (let index = from; index < to; index++) {
      if (index >= nextRowAt && index < to - 1 && call.refusal === undefined) {
        const taken = this.#putRow(call, index, to)
        pause = taken > 0 ? 1 : 2 * pause
        index += taken
        nextRowAt = index + pause
        if (index === to) break
      }
      const failure = call.refusal ?? checkRecord(records[index]!, call.maxBytes) ?? this.#put(call, index)
      if (failure === undefined) continue
      this.#deps.counters.refused++
      if (options.stopsWhereFull === true && failure.code === 'overloaded') call.refusal = failure
      if (call.refusal === undefined) pendingProduce.refuseTaken(index, failure)
      else pendingProduce.refuse(index, failure)
    }
  }

  #taken({ records, options, pendingProduce, holder }: AcceptCall): void {
    if (pendingProduce.isWaiting) this.#startTicking()
    if (options.signal !== undefined) pendingProduce.onAbort(options.signal, () => this.#withdraw(pendingProduce))
    // A caller that waits for the outcomes learns them without a receipt.
    if (
      holder !== undefined &&
      options.answeredBy !== undefined &&
      this.#receipts !== undefined &&
      !pendingProduce.isRefused
    )
      this.#receipts.add(holder, pendingProduce, this.#topicsOf(records), this)
  }

  /** Looks at all partitions: few calls are given up. */
  #withdraw(pendingProduce: MemoryPendingProduce): void {
    for (const topic of this.#topics.values()) topic.withdraw(pendingProduce, failures.aborted())
  }

  /**
   * The names of topics, taken from our own objects where possible: names in requests would be kept in memory with the receipts.
   */
  #topicsOf(records: readonly ProduceRecord[]): Topics {
    const topics = topicsOf(records)
    return topics === this.#lastTopic?.name ? this.#lastTopic.name : topics
  }

  whyWaiting(name: string): string {
    return this.#topics.get(name)?.whyWaiting() ?? this.#sender.awayBecause ?? 'it is about to be sent'
  }

  /** Untyped callers may pass something that is not a number: such a deadline would never pass. */
  #waitMsOf({ deadlineMs }: ProduceOptions): number {
    const { timeoutMs } = this.#deps.settings
    return typeof deadlineMs === 'number' && deadlineMs <= timeoutMs ? deadlineMs : timeoutMs
  }

  #put(call: AcceptCall, index: number): RecordFailure | undefined {
    const { partitioner, timestampMs, pendingProduce } = call
    const record = call.records[index]!
    const nowMs = pendingProduce.acceptedAt
    if (this.#isClosed) return failures.shuttingDown()
    if (pendingProduce.capacityUntil <= nowMs && !this.#budget.hasCapacity(roughSizeOf(record) + overheadOf(index))) {
      return failures.overloaded('the buffer of records for kafka is', this.#budget.maxBytes, 'delivery.maxBytes')
    }
    const topic = record.topic === this.#lastTopic?.name ? this.#lastTopic : this.#topicOf(record.topic, call)
    if (!(topic instanceof Topic)) return topic
    this.#lastTopic = topic
    if (record.partition !== undefined) pendingProduce.names(index, index + 1)
    return topic.put(record, partitioner, record.timestampMs ?? timestampMs, pendingProduce, index, nowMs)
  }

  #topicOf(name: string, { holder, pendingProduce }: AcceptCall): Topic | RecordFailure {
    const known = this.#topics.get(name)
    if (known !== undefined) return known
    if (!isLegalTopicName(name)) return failures.invalidTopic(name)
    return this.#topics.open(name, holder?.client, pendingProduce)
  }

  /**
   * Takes consecutive records for one partition in one go: a record by itself costs several times as much.
   *
   * @param from the first record @param until ends before this record at the latest
   * @returns how many records were taken; the next one has to be looked at by itself
   */
  #putRow({ records, partitioner, maxBytes, timestampMs, pendingProduce }: AcceptCall, from: number, until: number) {
    const topic = this.#lastTopic
    if (topic === undefined || this.#isClosed || checkRecord(records[from]!, maxBytes) !== undefined) return 0
    const { partition } = records[from]!
    let to = from
    let bytes = 0
    const end = Math.min(until, from + MOST_IN_A_ROW)
    for (; to < end; to++) {
      const record = records[to]!
      if (checkRecord(record, maxBytes) !== undefined || record.topic !== topic.name) break
      if (record.partition !== partition || record.timestampMs !== undefined) break
      if (partition === undefined && (record.key !== null || partitioner.isOfProgram)) break
      bytes += roughSizeOf(record) + overheadOf(to)
    }
    if (to - from < 2) return 0
    const row = { records, from, to, timestampMs, pendingProduce }
    const taken = topic.putRow(row, partition, partitioner, bytes, pendingProduce.acceptedAt)
    if (partition !== undefined && taken > 0) pendingProduce.names(from, from + taken)
    return taken
  }

  clusterChanged(change: ClusterChange): void {
    if (!this.#sender.clusterChanged(change)) return
    for (const topic of this.#topics.values()) topic.clusterChanged()
  }

  topicChanged(topic: string): void {
    this.#topics.get(topic)?.forgetMissing()
  }

  #forgotten(topic: Topic): void {
    if (this.#lastTopic === topic) this.#lastTopic = undefined
    this.#sender.forget(topic.producers)
  }

  produce({ records, timeoutMs = DEFAULT_PRODUCE_TIMEOUT_MS, requester }: Produce): void {
    // An actor is always answered: if its message has no list of records, with one failure.
    const outcomes = Array.isArray(records)
      ? this.accept(records, { partitioner: 'murmur2', deadlineMs: timeoutMs }).outcomes()
      : Promise.resolve([failures.invalid('records have to be a list')])
    outcomes
      .then(outcomes => requester.reply({ operation: 'produce', type: 'completed', outcomes }))
      .catch(error => this.#deps.log.error({ err: error }, 'a requester threw when it was answered'))
  }

  #heldChanged(): void {
    this.#capacityLines.freed()
    if (this.#budget.records > 0) this.#startTicking()
    else for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  #startTicking(): void {
    if (this.#ticker !== undefined) return
    this.#tickAt = this.#deps.clock() + TICK_MS
    this.#ticker = setInterval(() => this.#tickSoon(), TICK_MS)
  }

  /** Delays the tick after the process has stood still, so that answers which wait in the sockets are handled first. */
  #tickSoon(): void {
    const nowMs = this.#deps.clock()
    const isLate = nowMs - this.#tickAt >= TICK_MS
    this.#tickAt = nowMs + TICK_MS
    if (isLate) afterTicks(TICKS_OF_AN_ANSWER, () => this.#tick())
    else this.#tick()
  }

  #tick(): void {
    const nowMs = this.#deps.clock()
    this.#sender.schedule.tick(nowMs)
    this.#topics.tick(nowMs)
    this.#deps.counters.refused += this.#capacityLines.tick(nowMs, (producer, bytes) =>
      partitionFull(producer, bytes, this.#budget, this.#deps.settings.maxPartitionBytes)
    )
    const isOver = !this.#isBusy && this.#topics.unknownCount === 0
    if (isOver || --this.#ticksToReport <= 0) this.#report()
    if (!isOver) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  /** Looks at every partition, so it is done the more rarely the more partitions there are. */
  #report(): void {
    const stats = this.stats()
    this.#metrics.report(stats)
    this.#ticksToReport = stats.producers / PRODUCERS_PER_TICK
  }

  get #isBusy(): boolean {
    return this.#budget.records > 0 || !this.#capacityLines.isEmpty
  }

  stats(): DeliveryStats {
    let producers = 0
    let producersBackingOff = 0
    let oldestAt = Number.POSITIVE_INFINITY
    for (const topic of this.#topics.values()) {
      oldestAt = Math.min(oldestAt, topic.oldestWaitingAt)
      for (const producer of topic.producers) {
        if (producer === undefined) continue
        producers++
        oldestAt = Math.min(oldestAt, producer.oldestAt)
        if (producer.state === 'backingOff') producersBackingOff++
      }
    }
    return {
      ...this.counts(),
      oldestRecordAgeMs: Number.isFinite(oldestAt) ? this.#deps.clock() - oldestAt : 0,
      producers,
      producersBackingOff
    }
  }

  /** How many batches were sent again, and records have failed, until now. */
  get troubles(): number {
    const { retries, failed } = this.#deps.counters
    return retries + failed
  }

  counts(): ReturnType<Delivery['counts']> {
    return {
      ...this.#deps.counters,
      bufferedRecords: this.#budget.records,
      bufferedBytes: this.#budget.usedBytes,
      stuckBytes: this.#budget.stuckBytes,
      unknownTopics: this.#topics.unknownCount
    }
  }

  *topicViews(): Iterable<TopicView | undefined> {
    const nowMs = this.#deps.clock()
    for (const topic of this.#topics.values()) yield topic.view(nowMs)
  }

  troubledIn(topic: string): readonly TroubledPartition[] {
    return this.#topics.get(topic)?.troubled ?? []
  }

  async flush(timeoutMs: number): Promise<number> {
    const until = this.#deps.clock() + timeoutMs
    // Repeated, because waiting records that move into a partition are not counted for a moment.
    while (this.#isBusy && this.#deps.clock() < until) {
      const isEmpty = new Promise<void>(resolve => this.#whenEmpty.push(resolve))
      await inTime(isEmpty, Math.ceil(until - this.#deps.clock()), () => undefined)
    }
    return this.#budget.records
  }

  /**
   * Fails the records that are held. Those on their way to Kafka may be answered for a while.
   *
   * @returns whether one of them was still on its way then, and may arrive later
   */
  async giveUp(failureOf: (persisted: Persisted) => RecordFailure, graceMs: number): Promise<boolean> {
    this.#failWaiting(failureOf)
    const isOnItsWay = (await this.flush(graceMs)) > 0
    for (const producer of this.#producers()) producer.close(maybeWritten => failureOf(persistedOf(maybeWritten)))
    return isOnItsWay
  }

  /** The next batch of each partition begins the numbers again. Called when there is another epoch. */
  renumber(): void {
    for (const producer of this.#producers()) producer.clusterChanged()
  }

  *#producers(): Iterable<PartitionProducer> {
    for (const topic of this.#topics.values())
      for (const producer of topic.producers) if (producer !== undefined) yield producer
  }

  #failWaiting(failureOf: (persisted: Persisted) => RecordFailure): void {
    for (const topic of this.#topics.values()) {
      topic.refuseWaiting(failureOf('no'))
      topic.failHeld(failureOf('no'))
    }
    for (const producer of this.#producers()) producer.failWaiting(maybeWritten => failureOf(persistedOf(maybeWritten)))
  }

  async close(timeoutMs: number): Promise<number> {
    this.#isClosed = true
    const held = await this.flush(timeoutMs)
    this.#topics.close()
    this.#sender.close()
    // Records that wait for capacity are not among the held ones.
    for (const topic of this.#topics.values()) topic.refuseWaiting(failures.shuttingDown())
    const lostBefore = this.#losses.records
    this.#failWaiting(failures.shuttingDown)
    for (const producer of this.#producers())
      producer.close(maybeWritten => failures.shuttingDown(persistedOf(maybeWritten)))
    clearInterval(this.#ticker)
    this.#metrics.report(this.stats())
    this.#losses.close()
    const lost = this.#losses.records - lostBefore
    // The other records have callers that still wait and get a failure.
    const told = Math.max(0, held - lost)
    if (told > 0) {
      this.#deps.log.error({ records: told }, 'records in memory were given up: kafka did not take them in time')
    }
    return this.#losses.records + told
  }
}

/** How the records of one transactional id are sent. */
export interface TransactionalSending extends Required<Pick<ClusterSenderOptions, 'identity' | 'beforeSending'>> {
  readonly transactionalId: string
}

/** Why no record of a call is taken. */
function refusalOf({ durability, signal }: ProduceOptions): RecordFailure | undefined {
  if (durability === 'disk') return failures.logUnavailable('this cluster was opened without a durable log')
  return signal?.aborted === true ? failures.aborted() : undefined
}

/** Starts delivery; it asks nothing of the Router before the first record comes. */
export const startDelivery = (deps: DeliveryDeps): Delivery =>
  new MemoryDelivery({ ...deps, log: guardedLog(deps.log), metrics: guardedMetrics(deps.metrics) })
