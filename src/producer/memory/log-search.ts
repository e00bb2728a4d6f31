import { type ActorRef, ask, type Requester } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { BatchOrigin, Logger, MonotonicClock, Offset } from '../../core/model.js'
import type {
  FetchEpochEndResult,
  FetchOffsetResult,
  FetchOriginsResult,
  OffsetType,
  RouterMessage
} from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { Finding, SoughtBatch, WrittenBatches } from './partition-search.js'
import { ProducerExpiration } from './producer-expiration.js'

/** At most this many searches run at a time. Each takes the memory of one Fetch answer. */
const SEARCHES = 8
/** Time limit of one search; a later search can continue where it stopped. */
const TIME_LIMIT_MS = 30_000
/** Limit of one search in bytes of records, for topics to which others have written a lot. */
const MAX_BYTES = 64 * 1024 * 1024
const CALL_TIMEOUT_MS = 5_000
/** Margin beyond the time limit of a call: the Router itself answers within the limit. */
const BELT_MS = 1_000
/** Assumed limit by which the clock of a broker that sets timestamps is behind ours. */
const CLOCKS_DIFFER_MS = 600_000

export interface LogSearchOptions {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
}

type OffsetFound = Extract<FetchOffsetResult, { type: 'success' }>

/** Why a search stops without a result. */
class Stopped extends Error {
  readonly isForGood: boolean

  constructor(reason: string, isForGood = false) {
    super(reason)
    this.isForGood = isForGood
  }
}

/**
 * Searches Kafka's log for batches. Brokers recognise a batch that is sent again by its producer id, epoch and
 * sequence, as long as they remember the producer. When they may have forgotten it, the headers of the batches in the
 * log show whether the batch was written.
 */
export class LogSearch implements WrittenBatches {
  readonly #options: LogSearchOptions
  readonly #expiration: ProducerExpiration
  #running = 0
  readonly #waiting: (() => void)[] = []
  #isClosed = false

  constructor(options: LogSearchOptions) {
    this.#options = options
    this.#expiration = new ProducerExpiration(options)
  }

  now(): number {
    return this.#options.now()
  }

  mayBeForgotten(sinceMs: number): boolean {
    return this.#expiration.mayBeOver(this.now() - sinceMs)
  }

  clusterChanged(): void {
    this.#expiration.clusterChanged()
  }

  close(): void {
    this.#isClosed = true
  }

  async find(batch: SoughtBatch): Promise<Finding> {
    if (!batch.isForgotten) {
      await this.#expiration.learn()
      if (!this.mayBeForgotten(batch.sinceMs)) return { type: 'absent', end: batch.from }
    }
    const finding = await this.#search(batch)
    if (finding.type === 'found') this.#found(batch, finding.baseOffset)
    return finding
  }

  #found({ topic, partition, recordCount }: SoughtBatch, offset: Offset): void {
    const { log, metrics } = this.#options
    metrics.count('delivery', 'found_batches', {}, 1)
    log.info({ topic, partition, offset, records: recordCount }, 'a batch whose answer did not arrive is in the log')
  }

  sentUnknown({ topic, partition, recordCount }: Parameters<WrittenBatches['sentUnknown']>[0], reason: string): void {
    const { log, metrics } = this.#options
    metrics.count('delivery', 'unchecked_batches', {}, 1)
    log.warn(
      { topic, partition, records: recordCount, reason },
      'a batch is sent again although it may be in the log, and brokers may have forgotten its producer: its records may be in the log twice'
    )
  }

  async #search(batch: SoughtBatch): Promise<Finding> {
    let from = batch.from
    let queuedMs = 0
    try {
      // Searches in partitions without a leader end here, before they take a place from others.
      const range = await this.#rangeOf(batch)
      from = range.from
      if (from >= range.end) return { type: 'absent', end: range.end }
      const queuedAt = this.#options.clock()
      // Each search ends, so this wait ends, too.
      if (this.#running >= SEARCHES) await new Promise<void>(resolve => this.#waiting.push(resolve))
      else this.#running++
      queuedMs = this.#options.clock() - queuedAt
      const finding = await this.#readUpTo(range.end, batch, from).finally(() => this.#leave())
      return finding.type === 'later' ? { ...finding, queuedMs } : finding
    } catch (error) {
      return notKnown(error, from, queuedMs)
    }
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
  }

  /** The offsets between which the batch can be. `end`: the end of the leader's log, which readers may not see yet. */
  async #rangeOf(batch: SoughtBatch): Promise<{ readonly from: Offset; readonly end: Offset }> {
    const { offset: readable, leaderEpoch } = await this.#offset(batch, 'latest')
    const end = await this.#logEnd(batch, leaderEpoch)
    const timestampMs = Math.max(0, batch.sinceMs - CLOCKS_DIFFER_MS)
    const { offset: late } = await this.#offset(batch, { timestampMs })
    // If no record has this timestamp or a later one, the answer is the end of the log, which may have grown since.
    const notBefore = Math.min(late, readable)
    // A log that ends before the last acknowledged offset has lost its end, or belongs to a topic that was created anew.
    return { from: batch.from > end ? notBefore : Math.max(batch.from, notBefore), end }
  }

  async #readUpTo(end: Offset, batch: SoughtBatch, start: Offset): Promise<Finding> {
    const endsAt = this.#options.clock() + TIME_LIMIT_MS
    let from = start
    try {
      for (let bytes = 0; from < end; ) {
        const read = await this.#read(batch, from)
        // The replicas have not reached the end of the log yet, or a new leader still waits for them.
        if (read === 'nothing') return { type: 'later', from, reason: 'the end of the log cannot be read yet' }
        const origin = read.origins.find(one => isBatch(one, batch))
        if (origin !== undefined) return { type: 'found', baseOffset: origin.baseOffset }
        from = read.nextOffset
        bytes += read.sizeBytes
        const isOver = this.#isClosed || bytes >= MAX_BYTES || this.#options.clock() >= endsAt
        if (isOver && from < end)
          return { type: 'later', from, reason: 'the search has not reached the end of the log' }
      }
      return { type: 'absent', end }
    } catch (error) {
      return notKnown(error, from)
    }
  }

  async #offset({ topic, partition }: SoughtBatch, offsetType: OffsetType): Promise<OffsetFound> {
    if (this.#isClosed) throw new Stopped('shutting down')
    const topicPartition = { topic, partition }
    const timeoutMs = CALL_TIMEOUT_MS
    const result = await askRouter(this.#options.router, { type: 'fetchOffset', topicPartition, offsetType, timeoutMs })
    if (result.type === 'success') return result
    throw stopped(result)
  }

  /** The end of the leader's log, which may hold records that others cannot read yet. */
  async #logEnd({ topic, partition }: SoughtBatch, leaderEpoch: number | undefined): Promise<Offset> {
    if (leaderEpoch === undefined) throw new Stopped('the broker does not report the end of its log', true)
    const topicPartition = { topic, partition }
    const request = { type: 'fetchEpochEnd', topicPartition, leaderEpoch, timeoutMs: CALL_TIMEOUT_MS } as const
    const result = await this.#ask<FetchEpochEndResult>(requester => ({ ...request, requester }))
    if (result.type === 'notFound') throw new Stopped('the leader does not report the end of its log yet')
    if (result.type !== 'success') throw stopped(result)
    const { currentLeaderEpoch, endOffset } = result
    if (result.leaderEpoch === leaderEpoch && currentLeaderEpoch <= leaderEpoch) return endOffset
    throw new Stopped('the leader has changed')
  }

  async #read(
    { topic, partition }: SoughtBatch,
    offset: Offset
  ): Promise<'nothing' | Extract<FetchOriginsResult, { type: 'success' }>> {
    const topicPartition = { topic, partition }
    const request = { type: 'fetchOrigins', topicPartition, offset, timeoutMs: CALL_TIMEOUT_MS } as const
    const result = await this.#ask<FetchOriginsResult>(requester => ({ ...request, requester }))
    if (result.type === 'noMessages') return 'nothing'
    if (result.type !== 'success') throw stopped(result)
    return result
  }

  #ask<Result>(messageFor: (requester: Requester<Result>) => RouterMessage): Promise<Result> {
    if (this.#isClosed) throw new Stopped('shutting down')
    return ask<Result>('the log of a partition', CALL_TIMEOUT_MS + BELT_MS, requester =>
      this.#options.router.tell(messageFor(requester))
    )
  }
}

/** A result without the data that was requested. */
type Trouble =
  | Pick<Extract<FetchOriginsResult, { type: 'failed' }>, 'type' | 'message' | 'retriable'>
  | { readonly type: Exclude<FetchOriginsResult['type'], 'success' | 'noMessages' | 'failed'> }

function notKnown(error: unknown, from: Offset, queuedMs = 0): Finding {
  const reason = (error as Error).message
  const isForGood = error instanceof Stopped && error.isForGood
  return isForGood ? { type: 'unknown', reason } : { type: 'later', from, reason, queuedMs }
}

function stopped(result: Trouble): Stopped {
  switch (result.type) {
    case 'failed':
      return new Stopped(result.message, !result.retriable)
    case 'corruptMessage':
      return new Stopped('the log is damaged where the batch may be', true)
    case 'offsetOutOfRange':
      return new Stopped('records were deleted during the search for the batch')
    case 'unknownTopicOrPartition':
      return new Stopped('the broker does not know the partition')
    case 'timedOut':
      return new Stopped('no broker has answered in time')
  }
}

/** Whether the header is that of the batch. Compaction may have removed some records of the batch. */
const isBatch = (origin: BatchOrigin, { numbering, recordCount }: SoughtBatch): boolean =>
  origin.producerId === Number(numbering.producerId) &&
  origin.producerEpoch === numbering.epoch &&
  origin.baseSequence === numbering.nextSequence &&
  origin.lastOffset - origin.baseOffset === recordCount - 1
