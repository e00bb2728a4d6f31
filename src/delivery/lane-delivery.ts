import type { ActorRef } from '../actor/actor.js'
import { type ClusterChange, isLegalTopicName, type Logger, type MonotonicClock, type ProduceRecord } from '../model.js'
import type { Produce, RecordFailure, RouterMessage, SealedBatch } from '../operations.js'
import { CodecUnavailableError } from '../wire/codec-unavailable-error.js'
import { SlabPool } from '../wire/slab-pool.js'
import { overheadOf } from './batch.js'
import type { Delivery, DeliveryDeps, DeliveryStats, ProduceOptions } from './delivery.js'
import { DeliveryMetrics } from './delivery-metrics.js'
import { failures } from './failures.js'
import type { DeliveryCounters, HostedLane, LaneHost } from './lane-host.js'
import type { Numbering } from './numbering.js'
import { roughSizeOf } from './parked-records.js'
import { type Partitioner, partitioners } from './partitioners.js'
import { ProducerIdentity } from './producer-identity.js'
import { checkRecord } from './record-checks.js'
import { type DeliverySettings, defaultDeliverySettings } from './settings.js'
import { type ProduceTicket, Ticket } from './ticket.js'
import { Topic } from './topic.js'
import { TopicTable } from './topic-table.js'
import { persistedOf } from './verdict.js'

/** Deadlines are kept to this. */
const TICK_MS = 50
/** Slabs kept for the next batches: what some busy lanes take in one round trip. */
const SPARE_SLAB_BYTES = 8 * 1024 * 1024
/** Of the buffer: what may be taken when a single request fills the lane it goes to. */
const SHARE_OF_A_REQUEST = 3 / 4
const DEFAULT_PRODUCE_TIMEOUT_MS = 30_000

/** Delivery from memory: lanes under topics, one flush per turn of the event loop, one coarse clock for all deadlines. */
export class LaneDelivery implements Delivery, LaneHost {
  readonly settings: DeliverySettings
  readonly clock: MonotonicClock
  readonly random: () => number
  readonly log: Logger
  readonly counters: DeliveryCounters = { delivered: 0, failed: 0, withdrawn: 0, refused: 0, retries: 0 }
  readonly slabs = new SlabPool(SPARE_SLAB_BYTES)
  readonly #now: () => number
  readonly #awayBecause: () => Error | undefined
  readonly #router: ActorRef<RouterMessage>
  readonly #topics: TopicTable
  readonly #identity: ProducerIdentity
  readonly #metrics: DeliveryMetrics
  /** Lanes that hold something. */
  readonly #busy = new Set<HostedLane>()
  #ready: HostedLane[] = []
  #isFlushPlanned = false
  #ticker: NodeJS.Timeout | undefined
  #lastTopic: Topic | undefined
  #heldBytes = 0
  #heldRecords = 0
  #isClosed = false
  #clusterId: string | undefined
  #whenEmpty: (() => void)[] = []

  constructor(deps: DeliveryDeps) {
    this.settings = { ...defaultDeliverySettings, ...deps.settings }
    this.clock = deps.clock
    this.random = deps.random
    this.log = deps.log
    this.#now = deps.now
    this.#awayBecause = deps.awayBecause ?? (() => undefined)
    this.#router = deps.router
    this.#topics = new TopicTable(deps.router, this, topic => this.#forgotten(topic))
    this.#identity = new ProducerIdentity(
      { ...deps, settings: this.settings },
      {
        ready: lanes => {
          for (const lane of lanes) this.ready(lane)
        },
        refused: (lanes, refusal) => {
          for (const lane of lanes) lane.close(maybeWritten => ({ ...refusal, persisted: persistedOf(maybeWritten) }))
        }
      }
    )
    this.#metrics = new DeliveryMetrics(deps.metrics, this.settings.maxBytes)
  }

  accept(records: readonly ProduceRecord[], options: ProduceOptions): ProduceTicket {
    const nowMs = this.clock()
    const timestampMs = this.#now()
    const partitioner = partitioners[options.partitioner]
    const maxBytes = options.maxRecordBytes ?? this.settings.maxRecordBytes
    const ticket = new Ticket(records.length, nowMs + this.#waitMsOf(options), nowMs)
    for (let index = 0; index < records.length; index++) {
      const record = records[index]!
      const failure = checkRecord(record, maxBytes) ?? this.#put(record, partitioner, timestampMs, ticket, index, nowMs)
      if (failure === undefined) continue
      this.counters.refused++
      ticket.refuse(index, failure)
    }
    return ticket
  }

  /** Untyped callers may pass something that is not a number; compared with it, no deadline would ever have passed. */
  #waitMsOf({ deadlineMs }: ProduceOptions): number {
    const { timeoutMs } = this.settings
    return typeof deadlineMs === 'number' && deadlineMs <= timeoutMs ? deadlineMs : timeoutMs
  }

  #put(
    record: ProduceRecord,
    partitioner: Partitioner,
    timestampMs: number,
    ticket: Ticket,
    index: number,
    nowMs: number
  ): RecordFailure | undefined {
    if (this.#isClosed) return failures.shuttingDown()
    const { maxBytes } = this.settings
    if (this.#heldBytes + roughSizeOf(record) + overheadOf(index) > maxBytes) {
      return failures.overloaded('the buffer of records for kafka is', maxBytes, 'delivery.maxBytes')
    }
    const topic = record.topic === this.#lastTopic?.name ? this.#lastTopic : this.#topicOf(record.topic, ticket)
    if (!(topic instanceof Topic)) return topic
    this.#lastTopic = topic
    return topic.put(record, partitioner, record.timestampMs ?? timestampMs, ticket, index, nowMs)
  }

  #topicOf(name: string, ticket: Ticket): Topic | RecordFailure {
    const known = this.#topics.get(name)
    if (known !== undefined) return known
    if (!isLegalTopicName(name)) return failures.invalidTopic(name)
    return this.#topics.open(name, ticket)
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
    for (const topic of this.#topics.values()) topic.clusterChanged(this.clock())
    this.lookUpSoon()
  }

  #forgotten(topic: Topic): void {
    if (this.#lastTopic === topic) this.#lastTopic = undefined
    for (const lane of topic.lanes) {
      if (lane?.numbering !== undefined) this.#identity.retired(lane.numbering)
    }
  }

  produce({ records, timeoutMs = DEFAULT_PRODUCE_TIMEOUT_MS, requester }: Produce): void {
    this.accept(Array.isArray(records) ? records : [], { partitioner: 'murmur2', deadlineMs: timeoutMs })
      .outcomes()
      .then(outcomes => requester.reply({ operation: 'produce', type: 'completed', outcomes }))
      .catch(error => this.log.error({ err: error }, 'a requester threw when it was answered'))
  }

  held(bytes: number, records: number): void {
    this.#heldBytes += bytes
    this.#heldRecords += records
    if (this.#heldRecords > 0) this.#ticker ??= setInterval(() => this.#tick(), TICK_MS)
    else for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  hasSpare(bytes: number): boolean {
    return this.#heldBytes + bytes <= this.settings.maxBytes * SHARE_OF_A_REQUEST
  }

  ready(lane: HostedLane): void {
    this.#busy.add(lane)
    this.#ready.push(lane)
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    setImmediate(() => this.#flushReady())
  }

  /** All lanes that became ready in this turn leave in one message. */
  #flushReady(): void {
    this.#isFlushPlanned = false
    const batches: SealedBatch[] = []
    for (const lane of this.#ready.splice(0)) {
      const batch = this.#take(lane)
      if (batch !== undefined) batches.push(batch)
    }
    if (batches.length > 0) this.#router.tell({ type: 'produceBatches', batches })
  }

  /** A bug met in one lane stays in it. */
  #take(lane: HostedLane): SealedBatch | undefined {
    try {
      return lane.take()
    } catch (error) {
      if (error instanceof CodecUnavailableError) {
        lane.close(maybeWritten => failures.codecUnavailable(error.message, persistedOf(maybeWritten)))
        return undefined
      }
      this.log.error({ err: error, topic: lane.topic, partition: lane.partition }, 'a lane met a bug and was emptied')
      lane.close(maybeWritten => failures.bug(maybeWritten ? 'unknown' : 'no'))
      return undefined
    }
  }

  emptied(lane: HostedLane): void {
    this.#busy.delete(lane)
  }

  batchClosed(lane: HostedLane): void {
    this.#topics.get(lane.topic)?.batchClosed(lane.partition)
  }

  numbering(lane: HostedLane): Numbering | undefined {
    return this.#identity.numbering(lane)
  }

  usedUp(producerId: bigint): void {
    this.#identity.usedUp(producerId)
  }

  lookUp(lane: HostedLane): void {
    this.#topics.wantedByLane(lane.topic)
  }

  topicMissing(lane: HostedLane): void {
    this.#topics.get(lane.topic)?.missing(this.clock())
  }

  lookUpSoon(): void {
    this.#topics.lookUpSoon()
  }

  #tick(): void {
    const nowMs = this.clock()
    for (const lane of this.#busy) lane.tick(nowMs)
    this.#topics.tick(nowMs)
    this.#metrics.report(this.stats())
    if (this.#heldRecords > 0 || this.#topics.unknownCount > 0) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  stats(): DeliveryStats {
    let lanes = 0
    let lanesBackingOff = 0
    let oldestAt = Number.POSITIVE_INFINITY
    for (const topic of this.#topics.values()) {
      oldestAt = Math.min(oldestAt, topic.oldestParkedAt)
      for (const lane of topic.lanes) {
        if (lane === undefined) continue
        lanes++
        oldestAt = Math.min(oldestAt, lane.oldestAt)
        if (lane.state === 'backingOff') lanesBackingOff++
      }
    }
    return {
      ...this.counters,
      bufferedRecords: this.#heldRecords,
      bufferedBytes: this.#heldBytes,
      oldestRecordAgeMs: Number.isFinite(oldestAt) ? this.clock() - oldestAt : 0,
      unknownTopics: this.#topics.unknownCount,
      lanes,
      lanesBackingOff
    }
  }

  async flush(timeoutMs: number): Promise<number> {
    const until = this.clock() + timeoutMs
    // Repeated: parked records that move into a lane count nowhere for a moment.
    while (this.#heldRecords > 0 && this.clock() < until) await this.#emptyOr(until - this.clock())
    return this.#heldRecords
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
    const lost = await this.flush(timeoutMs)
    this.#topics.close()
    this.#identity.close()
    for (const topic of this.#topics.values()) {
      topic.failParked(failures.shuttingDown())
      for (const lane of topic.lanes) {
        lane?.close(maybeWritten => failures.shuttingDown(maybeWritten ? 'unknown' : 'no'))
      }
    }
    clearInterval(this.#ticker)
    this.#metrics.report(this.stats())
    if (lost > 0) this.log.error({ records: lost }, 'records in memory were lost: kafka did not take them in time')
    return lost
  }
}
