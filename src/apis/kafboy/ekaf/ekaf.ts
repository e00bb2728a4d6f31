import type { RecordFailure, RecordOutcome } from '../../../core/model.js'
import type { Gateway, PendingProduce, ProduceOptions, ProduceOrigin } from '../../../gateway/gateway.js'
import { ASYNC_TIMEOUT_MS } from '../../../http/api/api.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import type { Content } from '../content.js'
import type { HookCalls } from '../hooks/hook-calls.js'
import type { KafboyTopicInfo } from '../hooks/hooks.js'
import type { KafboySettings } from '../settings.js'
import { Batches } from './batches.js'
import { Strategies, topicOptionsOf } from './strategies.js'

/** How records are produced: with `sync` the caller waits for Kafka; with `async` and `batch` no caller waits. */
export type EkafMode = 'async' | 'sync' | 'batch'

export interface EkafDeps {
  readonly gateway: Gateway
  readonly settings: KafboySettings
  /** Absent: there are no hooks. */
  readonly hooks: HookCalls | undefined
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** [0, 1) */
  readonly random: () => number
  /** How long records in memory wait for capacity. */
  readonly capacityWaitMs: number
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

type Options = Omit<ProduceOptions, 'partitioner'>

/** The name under which lost records of this API are counted. */
const API = 'kafboy'
const INFO_TIMEOUT_MS = 5_000

/** The producer that kafboy uses: the gateway's, with ekaf's strategies. */
export class Ekaf {
  readonly #deps: EkafDeps
  readonly #strategies: Strategies
  /** Absent: there is no hook `massageBuffer`, so records wait for others nowhere but in the batches of delivery. */
  readonly #batches: Batches | undefined
  readonly #sync: Options
  readonly #async: Options
  readonly #gathered: Options

  constructor(deps: EkafDeps) {
    const { settings, hooks, capacityWaitMs } = deps
    const { durability, syncTimeoutMs } = settings
    const deadlineMs = ASYNC_TIMEOUT_MS
    this.#deps = deps
    const optionsOf = topicOptionsOf(settings)
    const pick = hooks?.has('pickPartition') ? hooks.pick.bind(hooks) : undefined
    this.#strategies = new Strategies({ ...deps, optionsOf, pick })
    this.#sync = { deadlineMs: syncTimeoutMs, capacityWaitMs }
    // The log keeps these records, so their delivery has no deadline, and no request waits.
    this.#async = { durability, deadlineMs: durability === 'disk' ? 0 : deadlineMs, capacityWaitMs, answeredBy: API }
    // Gathered records were accepted before, when their requests came.
    this.#gathered = { deadlineMs, capacityWaitMs: deadlineMs, stopsWhereFull: true, answeredBy: API }
    if (hooks?.has('massageBuffer') && durability === 'memory') {
      this.#batches = new Batches(optionsOf, (topic, gathered) => this.#flush(topic, hooks.massage(topic, gathered)))
    }
  }

  /**
   * Hands records on in order. In most cases it calls `begun` before it returns, and the caller may then reuse the bytes
   * of the contents. If a partition has to be found first, it copies the bytes and calls `begun` later.
   */
  produce(given: GivenRecords, mode: EkafMode, begun: (pendingProduce: PendingProduce) => void): void {
    this.#produce(given, mode, mode === 'sync' ? this.#sync : this.#async, begun)
  }

  /**
   * Hands on records that no request waits for, or gathers them for the hook `massageBuffer`.
   *
   * @param accepted called with the refused records as soon as the others are safe
   */
  accept(given: GivenRecords, isBatched: boolean, accepted: (refused: PendingProduce['refused']) => void): void {
    if (isBatched && this.#batches !== undefined) accepted(this.#gather(this.#batches, given))
    else {
      this.produce(given, isBatched ? 'batch' : 'async', pendingProduce => {
        const waits = this.#async.durability === 'disk' || pendingProduce.isWaiting === true
        if (waits) void pendingProduce.accepted().then(accepted)
        else accepted(pendingProduce.refused)
      })
    }
  }

  /** Describes a topic for a hook; `undefined`: it is not known. */
  async info(topic: string): Promise<KafboyTopicInfo | undefined> {
    const { gateway } = this.#deps
    const found = (await gateway.topics([topic], INFO_TIMEOUT_MS).catch(() => undefined))?.get(topic)
    if (found?.errorCode !== errorCodes.NONE) return undefined
    const workers = found.partitions.map(({ partition, leaderId }) => ({
      partition,
      leaderId,
      isUp: gateway.isReady && leaderId >= 0
    }))
    return { topic, bufferedRecords: this.#batches?.recordsOf(topic) ?? 0, workers }
  }

  /** Hands on all that is gathered. */
  close(): void {
    this.#batches?.flushAll()
  }

  #produce(
    { topic, contents, origin }: GivenRecords,
    mode: EkafMode,
    options: Options,
    begun: (pendingProduce: PendingProduce) => void
  ): void {
    const records = contents.length
    this.#strategies.place(topic, contents, (placed, partitioner) => {
      const pendingProduce = this.#deps.gateway.produce(placed, { partitioner, ...options }, origin)
      this.#follow(mode, pendingProduce, records)
      if (mode === 'batch') this.#tell(topic, pendingProduce, records)
      begun(pendingProduce)
    })
  }

  #gather(batches: Batches, { topic, contents, origin }: GivenRecords): PendingProduce['refused'] {
    const failure = batches.add(topic, contents, origin?.recordHeaders)
    if (failure === undefined) return undefined
    const refused = new Array<RecordFailure>(contents.length).fill(failure)
    this.#deps.onSettled('batch', refused)
    return refused
  }

  #flush(topic: string, contents: readonly Content[]): void {
    if (contents.length === 0) return
    this.#produce({ topic, contents }, 'batch', this.#gathered, ({ refused = [] }) => {
      for (const failure of refused) {
        // The gateway counts what it refuses for another reason, or later.
        if (failure?.code === 'overloaded') this.#deps.gateway.lost(API, { ...failure, topic }, 1)
      }
    })
  }

  /** Keeps no reference to the records: waiting bodies would burden the garbage collector. */
  #follow(mode: EkafMode, pendingProduce: PendingProduce, records: number): void {
    const { onSettled, onDelivered } = this.#deps
    const ended = (outcomes: readonly RecordOutcome[] | undefined): void => {
      if (outcomes === undefined) onDelivered(mode, records)
      else onSettled(mode, outcomes)
    }
    if (pendingProduce.whenSettled === undefined) void pendingProduce.outcomes().then(ended)
    else pendingProduce.whenSettled(ended)
  }

  #tell(topic: string, pendingProduce: PendingProduce, records: number): void {
    const { hooks } = this.#deps
    if (!hooks?.has('onEvent')) return
    hooks.event({ name: 'ekaf_callback_flush', topic, records })
    void pendingProduce.outcomes().then(() => hooks.event({ name: 'ekaf_callback_flushed_replied', topic, records }))
  }
}
