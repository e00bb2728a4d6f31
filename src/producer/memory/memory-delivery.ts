import type { RecordFailure } from '../../core/model.js'
import { type ClusterChange, isLegalTopicName, type ProduceRecord } from '../../core/model.js'
import { BatchBufferPool } from '../../kafka/batch-buffer-pool.js'
import type { Produce } from '../../router/messages/operations.js'
import { overheadOf } from './batch.js'
import { Budget, type BufferCapacity } from './budget.js'
import { CapacityQueues } from './capacity-queues.js'
import type { Delivery, DeliveryDeps, DeliveryStats, ProduceOptions } from './delivery.js'
import { DeliveryMetrics } from './delivery-metrics.js'
import { failures } from './failures.js'
import { LogSearch } from './log-search.js'
import { Losses } from './losses.js'
import { partitionFull } from './partition-full.js'
import type { PartitionProducer } from './partition-producer.js'
import type { ClusterState } from './partition-producer-deps.js'
import { PartitionSchedule } from './partition-schedule.js'
import { type Partitioner, partitioners } from './partitioners.js'
import { MemoryPendingProduce, type PendingProduce } from './pending-produce.js'
import { checkProduceCall } from './produce-call.js'
import { ProducerIdentity } from './producer-identity.js'
import { checkRecord } from './record-checks.js'
import { toDeliverySettings } from './settings.js'
import { type MemoryDeps, Topic } from './topic.js'
import { TopicTable } from './topic-table.js'
import { persistedOf } from './verdict.js'
import { roughSizeOf } from './waiting-records.js'

/** Deadlines are kept to this. */
const TICK_MS = 50
/** Buffers kept for the next batches: what some busy partitions take in one round trip. */
const SPARE_SEGMENT_BYTES = 8 * 1024 * 1024
const DEFAULT_PRODUCE_TIMEOUT_MS = 30_000

/** Delivery from memory: partitions under topics, one flush per turn of the event loop, one coarse clock for all deadlines. */
export class MemoryDelivery implements Delivery, ClusterState {
  readonly #deps: MemoryDeps
  readonly #now: () => number
  readonly #awayBecause: () => Error | undefined
  readonly #topics: TopicTable
  readonly #identity: ProducerIdentity
  readonly #budget: Budget
  readonly #rooms: CapacityQueues
  readonly #written: LogSearch
  readonly #schedule: PartitionSchedule
  readonly #metrics: DeliveryMetrics
  readonly #losses: Losses
  #ticker: NodeJS.Timeout | undefined
  #lastTopic: Topic | undefined
  #isClosed = false
  #clusterId: string | undefined
  #whenEmpty: (() => void)[] = []

  constructor(deps: DeliveryDeps) {
    const { router, clock, random, log } = deps
    const settings = toDeliverySettings(deps.settings)
    this.#now = deps.now
    this.#awayBecause = deps.awayBecause ?? (() => undefined)
    this.#budget = new Budget(settings.maxBytes, () => this.#heldChanged())
    const waitingMaxBytes = Math.max(settings.maxBytes, deps.waitingMaxBytes ?? 0)
    this.#rooms = new CapacityQueues(waitingMaxBytes, ({ pendingProduce }) =>
      this.#metrics.waitedForCapacity(clock() - pendingProduce.acceptedAt)
    )
    this.#written = new LogSearch(deps)
    this.#schedule = new PartitionSchedule({ router, log })
    this.#identity = new ProducerIdentity(
      { ...deps, settings },
      {
        ready: producers => {
          for (const producer of producers) this.#schedule.ready(producer)
        },
        refused: (producers, refusal) => {
          for (const producer of producers)
            producer.close(maybeWritten => ({ ...refusal, persisted: persistedOf(maybeWritten) }))
        }
      }
    )
    this.#deps = {
      settings,
      waitingMaxBytes,
      clock,
      random,
      log,
      counters: { delivered: 0, failed: 0, withdrawn: 0, refused: 0, retries: 0 },
      batchBuffers: new BatchBufferPool(SPARE_SEGMENT_BYTES),
      written: this.#written,
      cluster: this,
      budget: this.#budget,
      rooms: this.#rooms,
      schedule: this.#schedule,
      numbers: this.#identity,
      waitedInPartition: waitedMs => this.#metrics.waitedInPartition(waitedMs)
    }
    this.#topics = new TopicTable(router, this.#deps, topic => this.#forgotten(topic))
    this.#metrics = new DeliveryMetrics(deps.metrics, settings.maxBytes)
    this.#losses = deps.losses ?? new Losses(deps)
  }

  get capacity(): BufferCapacity {
    return this.#budget
  }

  accept(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    checkProduceCall(records, options)
    const nowMs = this.#deps.clock()
    const timestampMs = this.#now()
    const partitioner = partitioners[options.partitioner]
    const maxBytes = options.maxRecordBytes ?? this.#deps.settings.maxRecordBytes
    const { capacityWaitMs = 0 } = options
    const pendingProduce = new MemoryPendingProduce(
      records.length,
      nowMs + this.#waitMsOf(options),
      nowMs,
      nowMs + capacityWaitMs,
      this.#losses,
      options
    )
    let refusal = noDurableLog(options)
    for (let index = 0; index < records.length; index++) {
      const record = records[index]!
      const failure =
        refusal ??
        checkRecord(record, maxBytes) ??
        this.#put(record, partitioner, timestampMs, pendingProduce, index, nowMs)
      if (failure === undefined) continue
      this.#deps.counters.refused++
      if (options.stopsWhereFull === true && failure.code === 'overloaded') refusal = failure
      if (refusal === undefined) pendingProduce.refuseLate(index, failure)
      else pendingProduce.refuse(index, failure)
    }
    if (pendingProduce.isWaiting) this.#startTicking()
    return pendingProduce
  }

  /** Untyped callers may pass something that is not a number; compared with it, no deadline would ever have passed. */
  #waitMsOf({ deadlineMs }: ProduceOptions): number {
    const { timeoutMs } = this.#deps.settings
    return typeof deadlineMs === 'number' && deadlineMs <= timeoutMs ? deadlineMs : timeoutMs
  }

  #put(
    record: ProduceRecord,
    partitioner: Partitioner,
    timestampMs: number,
    pendingProduce: MemoryPendingProduce,
    index: number,
    nowMs: number
  ): RecordFailure | undefined {
    if (this.#isClosed) return failures.shuttingDown()
    if (pendingProduce.capacityUntil <= nowMs && !this.#budget.hasCapacity(roughSizeOf(record) + overheadOf(index))) {
      return failures.overloaded('the buffer of records for kafka is', this.#budget.maxBytes, 'delivery.maxBytes')
    }
    const topic = record.topic === this.#lastTopic?.name ? this.#lastTopic : this.#topicOf(record.topic, pendingProduce)
    if (!(topic instanceof Topic)) return topic
    this.#lastTopic = topic
    return topic.put(record, partitioner, record.timestampMs ?? timestampMs, pendingProduce, index, nowMs)
  }

  #topicOf(name: string, pendingProduce: MemoryPendingProduce): Topic | RecordFailure {
    const known = this.#topics.get(name)
    if (known !== undefined) return known
    if (!isLegalTopicName(name)) return failures.invalidTopic(name)
    return this.#topics.open(name, pendingProduce)
  }

  get awayBecause(): string | undefined {
    return this.#awayBecause()?.message
  }

  get clusterId(): string | undefined {
    return this.#clusterId
  }

  /** What was learnt from the former cluster is forgotten. Unacknowledged records are sent under a new producer id. */
  clusterChanged({ before, now }: ClusterChange): void {
    this.#clusterId = now
    if (before === undefined) return
    this.#identity.clusterChanged()
    this.#written.clusterChanged()
    for (const topic of this.#topics.values()) topic.clusterChanged()
  }

  #forgotten(topic: Topic): void {
    if (this.#lastTopic === topic) this.#lastTopic = undefined
    for (const producer of topic.producers) {
      if (producer?.numbering !== undefined) this.#identity.retired(producer.numbering)
    }
  }

  produce({ records, timeoutMs = DEFAULT_PRODUCE_TIMEOUT_MS, requester }: Produce): void {
    // An actor is answered, whatever it sent: one failure stands for what is no list of records.
    const outcomes = Array.isArray(records)
      ? this.accept(records, { partitioner: 'murmur2', deadlineMs: timeoutMs }).outcomes()
      : Promise.resolve([failures.invalid('records have to be a list')])
    outcomes
      .then(outcomes => requester.reply({ operation: 'produce', type: 'completed', outcomes }))
      .catch(error => this.#deps.log.error({ err: error }, 'a requester threw when it was answered'))
  }

  #heldChanged(): void {
    this.#rooms.freed()
    if (this.#budget.records > 0) this.#startTicking()
    else for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  #startTicking(): void {
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS)
  }

  #tick(): void {
    const nowMs = this.#deps.clock()
    this.#schedule.tick(nowMs)
    this.#topics.tick(nowMs)
    this.#deps.counters.refused += this.#rooms.tick(nowMs, (...full) => this.#partitionFull(...full))
    this.#metrics.report(this.stats())
    if (this.#isBusy || this.#topics.unknownCount > 0) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  get #isBusy(): boolean {
    return this.#budget.records > 0 || !this.#rooms.isEmpty
  }

  #partitionFull(producer: PartitionProducer, bytes: number): RecordFailure {
    return partitionFull(producer, bytes, this.#budget, this.#deps.settings.maxPartitionBytes)
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
      ...this.#deps.counters,
      bufferedRecords: this.#budget.records,
      bufferedBytes: this.#budget.usedBytes,
      stuckBytes: this.#budget.stuckBytes,
      oldestRecordAgeMs: Number.isFinite(oldestAt) ? this.#deps.clock() - oldestAt : 0,
      unknownTopics: this.#topics.unknownCount,
      producers,
      producersBackingOff
    }
  }

  async flush(timeoutMs: number): Promise<number> {
    const until = this.#deps.clock() + timeoutMs
    // Repeated: waiting records that move into a partition count nowhere for a moment.
    while (this.#isBusy && this.#deps.clock() < until) await this.#emptyOr(until - this.#deps.clock())
    return this.#budget.records
  }

  #emptyOr(timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, Math.ceil(timeoutMs))
      this.#whenEmpty.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  async close(timeoutMs: number): Promise<number> {
    this.#isClosed = true
    const held = await this.flush(timeoutMs)
    const lostBefore = this.#losses.records
    this.#topics.close()
    this.#identity.close()
    this.#written.close()
    for (const topic of this.#topics.values()) {
      topic.failHeld(failures.shuttingDown())
      for (const producer of topic.producers) {
        if (producer === undefined) continue
        this.#deps.counters.refused += this.#rooms.close(producer, failures.shuttingDown())
        producer.close(maybeWritten => failures.shuttingDown(maybeWritten ? 'unknown' : 'no'))
      }
    }
    clearInterval(this.#ticker)
    this.#metrics.report(this.stats())
    this.#losses.close()
    const lost = this.#losses.records - lostBefore
    // Callers that wait are told themselves, where they can still be reached.
    const told = Math.max(0, held - lost)
    if (told > 0) {
      this.#deps.log.error({ records: told }, 'records in memory were given up: kafka did not take them in time')
    }
    return this.#losses.records + told
  }
}

const noDurableLog = ({ durability }: ProduceOptions): RecordFailure | undefined =>
  durability === 'disk' ? failures.logUnavailable('this cluster was opened without a durable log') : undefined
