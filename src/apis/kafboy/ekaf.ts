import { ownCopyOf } from '../../core/bytes.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { ProduceRecord, RecordFailure, RecordOutcome } from '../../core/model.js'
import { type ApiContext, ASYNC_TIMEOUT_MS, capacityWaitMsOf } from '../../http/api/api.js'
import { ApiProducer } from '../../http/api/api-producer.js'
import { type ProduceApi, type ProduceHead, produceOptionsOf } from '../../http/api/produce-route.js'
import { whenSettled } from '../../http/exchange/modern-answers.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { PendingProduce, ProduceOptions, ProduceOrigin, Verbs } from '../../verbs/verbs.js'
import { readDecidedRecords } from './hooks/decision.js'
import type { HookCalls } from './hooks/hook-calls.js'
import type { KafboyOutcome, KafboyProducer, KafboyTopicInfo } from './hooks/hooks.js'
import { toldOf } from './record-answers.js'
import type { KafboySettings } from './settings.js'
import {
  memoryOf,
  type Placement,
  type PlaceRecords,
  RecordPlacer,
  refusalOfFull,
  type TopicSettings,
  topicOptionsOf
} from './strategies.js'

/** How records are produced: with `sync` the caller waits for Kafka; with `async` and `batch` no caller waits. */
export type EkafMode = 'async' | 'sync' | 'batch'

/** @param outcomes `undefined`: all records were delivered */
type Settled = (mode: EkafMode, records: number, outcomes: readonly RecordOutcome[] | undefined) => void

/** The name under which lost records of this API are counted. */
const API = 'kafboy'
const INFO_TIMEOUT_MS = 5_000

/** The producer that kafboy uses: the gateway's, with ekaf's strategies. */
export class Ekaf {
  /** The partitioner is that of the topic. */
  readonly options: ProduceApi<ProduceHead>['options']
  readonly #verbs: Verbs
  readonly #producer: ApiProducer
  readonly #hooks: HookCalls | undefined
  readonly #onSettled: Settled
  readonly #placer: RecordPlacer
  /** Absent: there is no hook `massageBuffer`, so records wait for others nowhere but in the batches of delivery. */
  readonly #batches: EkafBatches | undefined

  /**
   * @param hooks absent: there are none
   * @param onSettled receives the outcomes of each call of {@link produce}, once
   */
  constructor(context: ApiContext<KafboySettings>, hooks: HookCalls | undefined, onSettled: Settled) {
    const { verbs, settings } = context
    const { durability, syncTimeoutMs } = settings
    const capacityWaitMs = capacityWaitMsOf(context)
    const sync: ProduceOptions = { partitioner: 'random', deadlineMs: syncTimeoutMs, capacityWaitMs }
    this.#verbs = verbs
    this.#hooks = hooks
    this.#onSettled = onSettled
    // Records that a request waits for are not written to the log.
    this.options = { sync, async: produceOptionsOf(API, { ...sync, durability }).async }
    this.#producer = new ApiProducer({ name: API, options: this.options }, context)
    const optionsOf = topicOptionsOf(settings)
    const pick = hooks?.has('pickPartition') ? hooks.pick.bind(hooks) : undefined
    this.#placer = new RecordPlacer(context, optionsOf, pick)
    if (hooks?.has('massageBuffer') && durability === 'memory') {
      this.#batches = new EkafBatches(optionsOf, (topic, gathered) =>
        this.#flush(topic, hooks.massage(topic, gathered))
      )
    }
  }

  /**
   * Finds the partitions of records of one topic, in their order.
   *
   * @param records valid until the call returns
   * @param place called before this returns in most cases; later with copies, if a partition has to be found first
   */
  place(topic: string, records: readonly ProduceRecord[], mode: EkafMode, place: PlaceRecords): void {
    // Gathered records are placed when they are handed on.
    if (mode === 'batch' && this.#batches !== undefined) place(records, { type: 'placed', partitioner: 'random' })
    else this.#placer.place(topic, records, place)
  }

  /**
   * Hands placed records on, or gathers them for the hook `massageBuffer`.
   *
   * @param origin the request that brings them; absent: a hook does
   * @param waitedMs how long the request has waited, also for its topic. Absent: as long as for its topic
   */
  produce(
    records: readonly ProduceRecord[],
    placement: Placement,
    mode: EkafMode,
    origin?: ProduceOrigin,
    waitedMs?: number
  ): PendingProduce {
    if (placement.type === 'failed') return this.#refused(records, mode, placement)
    if (mode === 'batch' && this.#batches !== undefined) return this.#gather(this.#batches, records, origin)
    const { partitioner } = placement
    return this.#begin(records, mode, { partitioner }, origin, waitedMs ?? placement.waitedMs)
  }

  forHooks(): KafboyProducer {
    const produce = (topic: unknown, data: unknown, mode: EkafMode, begun: (pending: PendingProduce) => void) => {
      const given = typeof topic === 'string' ? readDecidedRecords(topic, data) : undefined
      if (typeof topic !== 'string' || given === undefined) throw new TypeError('ekaf takes a topic and records')
      if (given.length === 0) return false
      this.place(topic, given, mode, (records, placement) => {
        begun(this.produce(records, placement, mode))
        if (placement.type === 'failed' && mode !== 'sync')
          this.#verbs.lost(API, { ...placement, topic }, records.length)
      })
      return true
    }
    return {
      produceSync: (topic, data) =>
        new Promise(resolve => {
          const told = (outcomes: readonly RecordOutcome[]): void => resolve(outcomes.map(toKafboyOutcome))
          if (!produce(topic, data, 'sync', pending => void pending.outcomes().then(told))) resolve([])
        }),
      produceAsync: (topic, data) => void produce(topic, data, 'async', () => {}),
      produceAsyncBatched: (topic, data) => void produce(topic, data, 'batch', () => {}),
      info: async topic => {
        if (typeof topic !== 'string') throw new TypeError('ekaf.info takes the name of a topic')
        return this.#info(topic)
      }
    }
  }

  /** Hands on all that is gathered. */
  close(): void {
    this.#batches?.flushAll()
  }

  /** Describes a topic for a hook; `undefined`: it is not known. */
  async #info(topic: string): Promise<KafboyTopicInfo | undefined> {
    const verbs = this.#verbs
    const found = (await verbs.topics([topic], INFO_TIMEOUT_MS).catch(() => undefined))?.get(topic)
    if (found?.errorCode !== errorCodes.NONE) return undefined
    const workers = found.partitions.map(({ partition, leaderId }) => ({
      partition,
      leaderId,
      isUp: verbs.isReady && leaderId >= 0
    }))
    return { topic, bufferedRecords: this.#batches?.recordsOf(topic) ?? 0, workers }
  }

  /** @param own options in place of those of kafboy */
  #begin(
    records: readonly ProduceRecord[],
    mode: EkafMode,
    own: Partial<ProduceOptions>,
    origin?: ProduceOrigin,
    waitedMs = 0
  ): PendingProduce {
    const hooks = this.#hooks
    const pending = this.#producer.produce(records, { isSync: mode === 'sync', waitedMs }, origin, own)
    // No reference to the records is kept: waiting bodies would burden the garbage collector.
    const count = records.length
    whenSettled(pending, outcomes => this.#onSettled(mode, count, outcomes))
    if (mode === 'batch' && hooks?.has('onEvent') === true) {
      const { topic } = records[0]!
      hooks.event({ name: 'ekaf_callback_flush', topic, records: count })
      void pending.outcomes().then(() => hooks.event({ name: 'ekaf_callback_flushed_replied', topic, records: count }))
    }
    return pending
  }

  #refused(records: readonly ProduceRecord[], mode: EkafMode, failure: RecordFailure): PendingProduce {
    const refused = new Array<RecordFailure>(records.length).fill(failure)
    this.#onSettled(mode, records.length, refused)
    return { refused, accepted: async () => refused, outcomes: async () => refused }
  }

  #gather(batches: EkafBatches, records: readonly ProduceRecord[], origin: ProduceOrigin | undefined): PendingProduce {
    const failure = batches.add(records, origin?.recordHeaders)
    if (failure !== undefined) return this.#refused(records, 'batch', failure)
    // No request waits for their outcomes.
    return { refused: undefined, accepted: async () => undefined, outcomes: () => new Promise(() => undefined) }
  }

  #flush(topic: string, gathered: readonly ProduceRecord[]): void {
    if (gathered.length === 0) return
    this.#placer.place(topic, gathered, (records, placement) => {
      if (placement.type === 'failed') {
        this.#refused(records, 'batch', placement)
        this.#verbs.lost(API, { ...placement, topic }, records.length)
        return
      }
      const { partitioner } = placement
      // Gathered records were accepted before, when their requests came.
      const own = { partitioner, capacityWaitMs: ASYNC_TIMEOUT_MS, stopsWhereFull: true }
      for (const failure of this.#begin(records, 'batch', own).refused ?? []) {
        // The gateway counts what it refuses for another reason, or later.
        if (failure?.code === 'overloaded') this.#verbs.lost(API, { ...failure, topic }, 1)
      }
    })
  }
}

const toKafboyOutcome = (outcome: RecordOutcome): KafboyOutcome =>
  outcome.type === 'delivered'
    ? { type: 'sent', partition: outcome.partition, offset: outcome.offset }
    : { type: 'failed', error: toldOf(outcome, true).error }

/** All batches together; further records are refused. */
const MAX_BYTES = 16 * 1024 * 1024

interface EkafBatch {
  readonly records: ProduceRecord[]
  readonly timer: NodeJS.Timeout
  sizeBytes: number
}

/**
 * Records of the batch routes for the hook `massageBuffer`, which gets whole batches: gathered by topic until there are
 * enough of them or their time is over.
 */
class EkafBatches {
  readonly #optionsOf: (topic: string) => TopicSettings
  readonly #flush: (topic: string, records: readonly ProduceRecord[]) => void
  readonly #byTopic = new Map<string, EkafBatch>()
  readonly #held = new HeldAmount('bytes of the hook massageBuffer')

  constructor(
    optionsOf: (topic: string) => TopicSettings,
    flush: (topic: string, records: readonly ProduceRecord[]) => void
  ) {
    this.#optionsOf = optionsOf
    this.#flush = flush
  }

  recordsOf(topic: string): number {
    return this.#byTopic.get(topic)?.records.length ?? 0
  }

  /**
   * Takes records of one topic and copies their bytes.
   *
   * @param headers of their request, since a batch has records of many
   * @returns why there is no memory for them
   */
  add(records: readonly ProduceRecord[], headers: ProduceRecord['headers'] = []): RecordFailure | undefined {
    const { topic } = records[0]!
    const neededBytes = memoryOf(records)
    if (this.#held.value + neededBytes > MAX_BYTES) return full
    const { maxBufferRecords, bufferTtlMs } = this.#optionsOf(topic)
    let batch = this.#byTopic.get(topic)
    if (batch === undefined) {
      batch = { records: [], timer: setTimeout(() => this.#handOn(topic), bufferTtlMs), sizeBytes: 0 }
      this.#byTopic.set(topic, batch)
    }
    for (const record of records) batch.records.push({ ...ownCopyOf(record), ...(headers.length > 0 && { headers }) })
    batch.sizeBytes += neededBytes
    this.#held.add(neededBytes)
    if (batch.records.length >= maxBufferRecords) this.#handOn(topic)
    return undefined
  }

  flushAll(): void {
    for (const topic of [...this.#byTopic.keys()]) this.#handOn(topic)
  }

  #handOn(topic: string): void {
    const { records, timer, sizeBytes } = this.#byTopic.get(topic)!
    clearTimeout(timer)
    this.#byTopic.delete(topic)
    this.#held.release(sizeBytes)
    this.#flush(topic, records)
  }
}

const full = refusalOfFull('the hook massageBuffer', MAX_BYTES)
