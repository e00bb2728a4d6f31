import type { RecordFailure, RecordOutcome } from '../../../core/model.js'
import type { Gateway, PendingProduce, ProduceOptions, ProduceOrigin, TopicMetadata } from '../../../gateway/gateway.js'
import { placesOf } from '../../../gateway/produce-origin.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import type { Content } from '../content.js'
import type { HookName } from '../hooks/hook-messages.js'
import type { KafboyEvent, KafboyTopicInfo } from '../hooks/hooks.js'
import type { KafboySettings } from '../settings.js'
import { BatchBuffers, BatchHandover, takenBefore } from './batch-buffers.js'
import { PartitionCounts } from './partition-counts.js'
import { ekafFailures, mergedPending, refusedPending } from './pending-produces.js'
import { type Picker, type Placed, Placement, StickyPicks, TopicOptionsTable } from './placement.js'
import { Downtime, Workers } from './workers.js'

/** How records are produced: with `sync` the caller waits for Kafka; with `async` and `batch` no caller waits. */
export type EkafMode = 'async' | 'sync' | 'batch'

/** The hooks of a producer. */
export interface EkafHooks {
  has(name: HookName): boolean
  event(event: KafboyEvent): void
  readonly pick: Picker
  massage(topic: string, records: readonly Content[], done: (records: readonly Content[] | undefined) => void): void
}

export interface EkafDeps {
  readonly gateway: Gateway
  readonly settings: KafboySettings
  /** Absent: there are no hooks. */
  readonly hooks: EkafHooks | undefined
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** [0, 1) */
  readonly random: () => number
  /** How long records in memory wait for capacity. Default 0. */
  readonly capacityWaitMs?: number
  /** Receives the outcomes of each call of {@link Ekaf.produce}, once. */
  readonly onSettled: (mode: EkafMode, outcomes: readonly RecordOutcome[]) => void
  /** Called instead where all records of a call were delivered, if that is known without the outcome of each. */
  readonly onDelivered: (mode: EkafMode, records: number) => void
}

/** Records of one topic, in their order. */
export interface GivenRecords {
  readonly topic: string
  readonly contents: readonly Content[]
  /** The request that brings them; absent: a hook or a batch does. */
  readonly origin?: ProduceOrigin
}

/** A batch has records of many requests, so each record keeps the headers of its own request. */
function withHeaders({ contents, origin }: GivenRecords): readonly Content[] {
  const headers = origin?.recordHeaders ?? []
  return headers.length === 0 ? contents : contents.map(content => ({ ...content, headers }))
}

/** Records that were handed to the gateway. */
interface HandedOn {
  readonly topic: string
  readonly records: number
  /** Number of outcomes that count, from the first on. Absent: all. */
  readonly settled: number | undefined
}

/** The name under which lost records of this API are counted. */
const API = 'kafboy'
const LOOK_UP_TIMEOUT_MS = 5_000
/** Topics that hooks may look up at a time. */
const MAX_INFO_CALLS = 100

/** The producer that kafboy uses, built on the gateway: strategies, batches, limits during a downtime, and events. */
export class Ekaf {
  readonly #deps: EkafDeps
  readonly #options: TopicOptionsTable
  readonly #placement: Placement
  readonly #buffers: BatchBuffers
  readonly #downtime: Downtime
  readonly #workers: Workers | undefined
  readonly #sync: Omit<ProduceOptions, 'partitioner'>
  readonly #async: Omit<ProduceOptions, 'partitioner'>
  readonly #batch: Omit<ProduceOptions, 'partitioner'>
  readonly #handover: BatchHandover
  /** Records of batches that the hook `massageBuffer` has, by topic. */
  readonly #atHook = new Map<string, number>()
  #infoCalls = 0
  #isClosed = false

  constructor(deps: EkafDeps) {
    const { settings, hooks, gateway, clock } = deps
    this.#deps = deps
    this.#options = new TopicOptionsTable(settings)
    const counts = new PartitionCounts({ clock, lookUp: topics => this.#partitionCounts(topics) })
    this.#placement = new Placement({
      counts,
      sticky: new StickyPicks(clock, deps.random),
      picker: hooks?.has('pickPartition') ? (...call) => hooks.pick(...call) : undefined
    })
    this.#buffers = new BatchBuffers({ maxBytes: settings.maxBufferBytes, flush: (...batch) => this.#flush(...batch) })
    this.#handover = new BatchHandover({
      clock,
      timeoutMs: settings.asyncTimeoutMs,
      produce: (topic, contents, begun) => this.#offer(topic, contents, begun),
      onGivenUp: (topic, failure, records) => this.#givenUp(topic, failure, records)
    })
    const isReady = (): boolean => gateway.isReady
    const tell = (event: KafboyEvent): void => hooks?.event(event)
    this.#downtime = new Downtime({ isReady, tell })
    const followsWorkers = hooks?.has('onEvent') ?? false
    this.#workers = followsWorkers
      ? new Workers({ clock, isReady, tell, lookUp: names => this.topics(names) })
      : undefined
    const { capacityWaitMs = 0 } = deps
    this.#sync = { deadlineMs: settings.syncTimeoutMs, capacityWaitMs }
    const { durability, asyncTimeoutMs } = settings
    // The log keeps these records, so their delivery has no deadline, and no request waits.
    this.#async = {
      durability,
      deadlineMs: durability === 'disk' ? 0 : asyncTimeoutMs,
      capacityWaitMs,
      answeredBy: API
    }
    // The records of a batch were accepted before, when their requests came.
    this.#batch = { deadlineMs: asyncTimeoutMs, capacityWaitMs: asyncTimeoutMs, stopsWhereFull: true, answeredBy: API }
    for (const topic of settings.bootstrapTopics) counts.whenKnown(topic, () => this.#workers?.used(topic))
  }

  /** Bytes of records that wait for a batch, and of batches that wait for capacity. */
  get bufferedBytes(): number {
    return this.#buffers.sizeBytes
  }

  /**
   * Hands records on in order. In most cases it calls `begun` before it returns, and the caller may then reuse the bytes
   * of the contents. If a partition has to be found first, it copies the bytes and calls `begun` later.
   */
  produce(given: GivenRecords, mode: EkafMode, begun: (pendingProduce: PendingProduce) => void): void {
    const { topic, contents } = given
    const { maxDowntimeRecords } = this.#options.of(topic)
    const refusal = this.#downtime.refusalOf(topic, contents.length, maxDowntimeRecords)
    if (refusal === undefined) this.#place(given, mode, begun)
    else begun(this.#refused(mode, contents.length, refusal))
  }

  #place(
    { topic, contents, origin }: GivenRecords,
    mode: EkafMode,
    begun: (pendingProduce: PendingProduce) => void
  ): void {
    this.#workers?.used(topic)
    const options = this.#options.of(topic)
    const isPlaced = this.#placement.place(topic, contents, options, placed =>
      begun(this.#handOn(topic, placed, mode, origin))
    )
    if (isPlaced) return
    const failure = ekafFailures.tooManyWaiting()
    // A refused batch is offered again, so a refusal is not an outcome of its records.
    begun(mode === 'batch' ? refusedPending(contents.length, failure) : this.#refused(mode, contents.length, failure))
  }

  /**
   * Hands on records that no request waits for, or keeps them for the next batch.
   *
   * @param accepted called with the refused records as soon as the others are safe
   */
  accept(given: GivenRecords, isBatched: boolean, accepted: (refused: PendingProduce['refused']) => void): void {
    const { topic } = given
    if (this.#async.durability === 'disk') {
      this.produce(given, 'async', pendingProduce => void pendingProduce.accepted().then(accepted))
    } else if (isBatched) accepted(this.batch(topic, withHeaders(given)))
    else
      this.produce(given, 'async', pendingProduce => {
        if (pendingProduce.isWaiting === true) void pendingProduce.accepted().then(accepted)
        else accepted(pendingProduce.refused)
      })
  }

  /**
   * Keeps records for the next batch of their topic. Their bytes are copied.
   *
   * @returns why there is no memory for them
   */
  batch(topic: string, contents: readonly Content[]): PendingProduce['refused'] {
    const options = this.#options.of(topic)
    const records = this.#buffers.recordsOf(topic) + contents.length
    const refusal = this.#downtime.refusalOf(topic, records, options.maxDowntimeRecords)
    if (refusal === undefined && this.#buffers.add(topic, contents, options) !== undefined) return undefined
    const failure = refusal ?? ekafFailures.batchBufferFull(this.#deps.settings.maxBufferBytes)
    return this.#refused('batch', contents.length, failure).refused
  }

  /** Metadata of topics; unknown topics are absent. */
  async topics(names: readonly string[]): Promise<ReadonlyMap<string, TopicMetadata>> {
    try {
      const found = await this.#deps.gateway.topics(names, LOOK_UP_TIMEOUT_MS)
      return new Map([...found].filter(([, { errorCode }]) => errorCode === errorCodes.NONE))
    } catch {
      return new Map()
    }
  }

  /** Describes a topic for a hook. Never rejects. */
  async info(topic: string): Promise<KafboyTopicInfo | undefined> {
    if (this.#infoCalls >= MAX_INFO_CALLS) return undefined
    this.#infoCalls++
    const metadata = (await this.topics([topic])).get(topic)
    this.#infoCalls--
    const { isReady } = this.#deps.gateway
    return (
      metadata && {
        topic,
        bufferedRecords: this.#buffers.recordsOf(topic),
        workers: metadata.partitions.map(({ partition, leaderId }) => ({
          partition,
          leaderId,
          isUp: isReady && leaderId >= 0
        }))
      }
    )
  }

  /**
   * Hands on everything that waits for a batch. Resolves when no hook holds any of these records and delivery has
   * taken all of them, or when the time is over.
   */
  async flush(timeoutMs: number): Promise<void> {
    this.#buffers.flushAll()
    await this.#buffers.allTaken(timeoutMs)
  }

  /** Counts as lost all records of batches that have not reached the gateway by now. */
  close(): void {
    this.#isClosed = true
    this.#workers?.close()
    const atHook = [...this.#atHook].map(([topic, records]) => ({ topic, records }))
    for (const { topic, records } of [...atHook, ...this.#handover.close(), ...this.#buffers.close()]) {
      this.#givenUp(topic, ekafFailures.stopped(), records)
    }
  }

  #givenUp(topic: string, failure: RecordFailure, records: number): void {
    const { gateway, onSettled } = this.#deps
    gateway.lost(API, { code: failure.code, message: failure.message, topic }, records)
    onSettled('batch', new Array<RecordFailure>(records).fill(failure))
  }

  #refused(mode: EkafMode, records: number, failure: RecordFailure): PendingProduce {
    const pendingProduce = refusedPending(records, failure)
    this.#follow(mode, pendingProduce)
    return pendingProduce
  }

  #handOn(
    topic: string,
    { records, partitioner, refusals }: Placed,
    mode: EkafMode,
    origin: ProduceOrigin | undefined
  ): PendingProduce {
    const options = { partitioner, ...this.#optionsOf(mode) }
    this.#downtime.began(topic, records.length)
    if (refusals !== undefined && origin !== undefined)
      origin.places = placesOf(refusals.length, index => refusals[index] !== undefined)
    const handedOn = this.#deps.gateway.produce(records, options, origin)
    const pendingProduce = refusals === undefined ? handedOn : mergedPending(refusals, handedOn)
    // Records of a batch that are offered again have no outcome yet.
    const settled = mode === 'batch' ? takenBefore(pendingProduce, refusals?.length ?? records.length) : undefined
    this.#follow(mode, pendingProduce, { topic, records: records.length, settled })
    if (mode === 'batch') this.#countRefused(topic, refusals)
    return pendingProduce
  }

  /** Records that a hook has refused after their client was answered. */
  #countRefused(topic: string, refusals: Placed['refusals']): void {
    for (const refusal of refusals ?? []) {
      if (refusal !== undefined) this.#deps.gateway.lost(API, { ...refusal, topic }, 1)
    }
  }

  #optionsOf(mode: EkafMode): Omit<ProduceOptions, 'partitioner'> {
    if (mode === 'sync') return this.#sync
    return mode === 'batch' ? this.#batch : this.#async
  }

  /** Keeps no reference to the records: waiting bodies would burden the garbage collector. */
  #follow(mode: EkafMode, pendingProduce: PendingProduce, handedOn?: HandedOn): void {
    const ended = (outcomes: readonly RecordOutcome[] | undefined): void => {
      if (handedOn !== undefined) this.#downtime.ended(handedOn.topic, handedOn.records)
      const { onSettled, onDelivered } = this.#deps
      if (outcomes === undefined) onDelivered(mode, handedOn?.settled ?? handedOn!.records)
      else {
        const settled = handedOn?.settled === undefined ? outcomes : outcomes.slice(0, handedOn.settled)
        if (settled.length > 0) onSettled(mode, settled)
      }
    }
    if (pendingProduce.whenSettled === undefined) void pendingProduce.outcomes().then(ended)
    else pendingProduce.whenSettled(ended)
  }

  #flush(topic: string, contents: readonly Content[], taken: () => void): void {
    const { hooks } = this.#deps
    if (!hooks?.has('massageBuffer')) {
      this.#produceBatch(topic, contents, taken)
      return
    }
    this.#atHook.set(topic, contents.length)
    hooks.massage(topic, contents, massaged => {
      // Records that a hook returns after the close are already counted as lost.
      if (this.#isClosed) return
      this.#atHook.delete(topic)
      this.#produceBatch(topic, massaged ?? contents, taken)
    })
  }

  #produceBatch(topic: string, contents: readonly Content[], taken: () => void): void {
    if (contents.length === 0) taken()
    else this.#handover.handOn(topic, contents, taken)
  }

  #offer(topic: string, contents: readonly Content[], begun: (pendingProduce: PendingProduce) => void): void {
    const { hooks } = this.#deps
    this.#place({ topic, contents }, 'batch', pendingProduce => {
      const records = takenBefore(pendingProduce, contents.length)
      if (records > 0) {
        hooks?.event({ name: 'ekaf_callback_flush', topic, records })
        void pendingProduce
          .outcomes()
          .then(() => hooks?.event({ name: 'ekaf_callback_flushed_replied', topic, records }))
      }
      begun(pendingProduce)
    })
  }

  async #partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = await this.topics(topics)
    return new Map([...found].map(([topic, { partitions }]) => [topic, partitions.length]))
  }
}
