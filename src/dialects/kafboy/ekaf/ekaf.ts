import type { Gateway, ProduceOptions, ProduceTicket, TopicMetadata } from '../../../gateway/gateway.js'
import type { RecordFailure, RecordOutcome } from '../../../model.js'
import { errorCodes } from '../../../wire/error-codes.js'
import type { Content } from '../content.js'
import type { HookDesk } from '../hooks/hook-desk.js'
import type { KafboyEvent, KafboyTopicInfo } from '../hooks/hooks.js'
import type { KafboySettings } from '../settings.js'
import { BatchBuffers } from './batch-buffers.js'
import { Downtime } from './downtime.js'
import { ekafFailures } from './failures.js'
import { PartitionCounts } from './partition-counts.js'
import { type Placed, Placement } from './placement.js'
import { StickyPicks } from './sticky-picks.js'
import { mergedTicket, refusedTicket } from './tickets.js'
import { TopicOptionsTable } from './topic-options.js'
import { Workers } from './workers.js'

/** How records are produced: sync while their caller waits for Kafka, async and batch for as long as it takes. */
export type EkafMode = 'async' | 'sync' | 'batch'

export interface EkafDeps {
  readonly gateway: Gateway
  readonly settings: KafboySettings
  /** Absent: there are no hooks. */
  readonly hooks: Pick<HookDesk, 'has' | 'event' | 'pick' | 'massage'> | undefined
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** [0, 1) */
  readonly random: () => number
  /** How long records in memory wait for room. Default 0. */
  readonly roomWaitMs?: number
  /** Told once of all records of a call of {@link Ekaf.produce}. */
  readonly onSettled: (mode: EkafMode, outcomes: readonly RecordOutcome[]) => void
}

const LOOK_UP_TIMEOUT_MS = 5_000
/** Topics that hooks may look up at a time. */
const MAX_INFO_CALLS = 100

/** The producer that kafboy rests on, over the gateway: strategies, batches, bounds of a downtime, and events. */
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
  /** Batches that a hook has in its hands. */
  #massaged = 0
  #whenMassaged: (() => void) | undefined
  #infoCalls = 0

  constructor(deps: EkafDeps) {
    const { settings, hooks, gateway, clock } = deps
    this.#deps = deps
    this.#options = new TopicOptionsTable(settings)
    const counts = new PartitionCounts({ clock, lookUp: topics => this.#partitionCounts(topics) })
    this.#placement = new Placement({
      counts,
      sticky: new StickyPicks(clock, deps.random),
      picker: hooks?.has('pickPartition') ? hooks.pick.bind(hooks) : undefined
    })
    this.#buffers = new BatchBuffers({ maxBytes: settings.maxBufferBytes, flush: (...batch) => this.#flush(...batch) })
    const isReady = (): boolean => gateway.isReady
    const tell = (event: KafboyEvent): void => hooks?.event(event)
    this.#downtime = new Downtime({ isReady, tell })
    const followsWorkers = hooks?.has('onEvent') ?? false
    this.#workers = followsWorkers
      ? new Workers({ clock, isReady, tell, lookUp: names => this.topics(names) })
      : undefined
    const { roomWaitMs = 0 } = deps
    this.#sync = { deadlineMs: settings.syncTimeoutMs, roomWaitMs }
    const { durability, asyncTimeoutMs } = settings
    // The log keeps them, so there is no time within which they have to be delivered, and no request waits.
    this.#async = { durability, deadlineMs: durability === 'disk' ? 0 : asyncTimeoutMs, roomWaitMs }
    // Their requests have been answered: a batch waits for room as long as it would wait for Kafka.
    this.#batch = { ...this.#async, roomWaitMs: asyncTimeoutMs }
    for (const topic of settings.bootstrapTopics) counts.whenKnown(topic, () => this.#workers?.used(topic))
  }

  /** Bytes of records that wait for a batch. */
  get bufferedBytes(): number {
    return this.#buffers.sizeBytes
  }

  /**
   * Hands records on in order, mostly at once: then `begun` is called before it returns, and the bytes of the contents are
   * free. Where a partition has to be found first they are copied.
   */
  produce(topic: string, contents: readonly Content[], mode: EkafMode, begun: (ticket: ProduceTicket) => void): void {
    const options = this.#options.of(topic)
    const refusal = this.#downtime.refusalOf(topic, contents.length, options.maxDowntimeRecords)
    if (refusal !== undefined) {
      begun(this.#refused(mode, contents.length, refusal))
      return
    }
    this.#workers?.used(topic)
    const isPlaced = this.#placement.place(topic, contents, options, placed => begun(this.#handOn(topic, placed, mode)))
    if (!isPlaced) begun(this.#refused(mode, contents.length, ekafFailures.tooManyWaiting()))
  }

  /**
   * Hands on records that no request waits for, or keeps them for the next batch.
   *
   * @param accepted told of what was refused, as soon as the others are safe
   */
  accept(
    topic: string,
    contents: readonly Content[],
    isBatched: boolean,
    accepted: (refused: ProduceTicket['refused']) => void
  ): void {
    if (this.#async.durability === 'disk') {
      this.produce(topic, contents, 'async', ticket => void ticket.accepted().then(accepted))
    } else if (isBatched) accepted(this.batch(topic, contents))
    else
      this.produce(topic, contents, 'async', ticket => {
        if (ticket.isWaiting === true) void ticket.accepted().then(accepted)
        else accepted(ticket.refused)
      })
  }

  /**
   * Keeps records for the next batch of their topic. Their bytes are copied.
   *
   * @returns why there is no room for them
   */
  batch(topic: string, contents: readonly Content[]): ProduceTicket['refused'] {
    const options = this.#options.of(topic)
    const refusal = this.#downtime.refusalOf(topic, contents.length, options.maxDowntimeRecords)
    if (refusal === undefined && this.#buffers.add(topic, contents, options) !== undefined) return undefined
    const failure = refusal ?? ekafFailures.batchBufferFull(this.#deps.settings.maxBufferBytes)
    return this.#refused('batch', contents.length, failure).refused
  }

  /** What brokers say of topics; those that are not known are absent. */
  async topics(names: readonly string[]): Promise<ReadonlyMap<string, TopicMetadata>> {
    try {
      const found = await this.#deps.gateway.topics(names, LOOK_UP_TIMEOUT_MS)
      return new Map([...found].filter(([, { errorCode }]) => errorCode === errorCodes.NONE))
    } catch {
      return new Map()
    }
  }

  /** What is known of a topic, for a hook that asks. Never rejects. */
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

  /** Hands on everything that waits for a batch. Resolves when nothing is in the hands of a hook any more. */
  async flush(): Promise<void> {
    this.#buffers.flushAll()
    if (this.#massaged > 0) await new Promise<void>(resolve => (this.#whenMassaged = resolve))
  }

  close(): void {
    this.#workers?.close()
  }

  #refused(mode: EkafMode, records: number, failure: RecordFailure): ProduceTicket {
    const ticket = refusedTicket(records, failure)
    this.#follow(mode, ticket)
    return ticket
  }

  #handOn(topic: string, { records, partitioner, refusals }: Placed, mode: EkafMode): ProduceTicket {
    const options = { partitioner, ...this.#optionsOf(mode) }
    this.#downtime.began(topic, records.length)
    const handedOn = this.#deps.gateway.produce(records, options)
    const ticket = refusals === undefined ? handedOn : mergedTicket(refusals, handedOn)
    this.#follow(mode, ticket, topic, records.length)
    return ticket
  }

  #optionsOf(mode: EkafMode): Omit<ProduceOptions, 'partitioner'> {
    if (mode === 'sync') return this.#sync
    return mode === 'batch' ? this.#batch : this.#async
  }

  /** Holds nothing of the records: bodies that wait for Kafka are what the garbage collector has to carry along. */
  #follow(mode: EkafMode, ticket: ProduceTicket, topic?: string, handedOn = 0): void {
    void ticket.outcomes().then(outcomes => {
      if (topic !== undefined) this.#downtime.ended(topic, handedOn)
      this.#deps.onSettled(mode, outcomes)
    })
  }

  #flush(topic: string, contents: readonly Content[]): void {
    const { hooks } = this.#deps
    if (!hooks?.has('massageBuffer')) {
      this.#produceBatch(topic, contents)
      return
    }
    this.#massaged++
    hooks.massage(topic, contents, massaged => {
      this.#produceBatch(topic, massaged ?? contents)
      if (--this.#massaged === 0) this.#whenMassaged?.()
    })
  }

  #produceBatch(topic: string, contents: readonly Content[]): void {
    const { hooks } = this.#deps
    const records = contents.length
    if (records === 0) return
    this.produce(topic, contents, 'batch', ticket => {
      hooks?.event({ name: 'ekaf_callback_flush', topic, records })
      void ticket.outcomes().then(() => hooks?.event({ name: 'ekaf_callback_flushed_replied', topic, records }))
    })
  }

  async #partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = await this.topics(topics)
    return new Map([...found].map(([topic, { partitions }]) => [topic, partitions.length]))
  }
}
