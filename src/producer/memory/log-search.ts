import type { ActorRef } from '../../core/actor/actor.js'
import { ask } from '../../core/actor/requester.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { BatchOrigin, Logger, MonotonicClock, Offset } from '../../core/model.js'
import type {
  FetchEpochEnd,
  FetchEpochEndResult,
  FetchOffsetResult,
  FetchOrigins,
  FetchOriginsResult,
  OffsetType,
  RouterMessage
} from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { Finding, SoughtBatch, WrittenBatches } from './partition-producer-deps.js'
import { ProducerExpiration } from './producer-expiration.js'

/** Partitions whose logs are read at a time. Each takes the memory of one Fetch answer. */
const SEARCHES = 8
/** One search; it may go on later where it has stopped. */
const TIME_LIMIT_MS = 30_000
/** The same in bytes of records: a topic that others have written much to is not read at once. */
const MAX_BYTES = 64 * 1024 * 1024
const CALL_TIMEOUT_MS = 5_000
/** Added to the time limit of a promise: the Router itself answers within its own. */
const BELT_MS = 1_000
/** The clock of a broker that stamps records itself may be behind ours by so much. */
const CLOCKS_DIFFER_MS = 600_000

export interface LogSearchOptions {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
}

type Unasked<Request> = Omit<Request, 'requester' | 'timeoutMs'>
type OffsetFound = Extract<FetchOffsetResult, { type: 'success' }>

/** Why a search stops before it knows. */
class Stopped extends Error {
  readonly isForGood: boolean

  constructor(reason: string, isForGood = false) {
    super(reason)
    this.isForGood = isForGood
  }
}

/**
 * Brokers recognise a batch that is sent again by its producer id, epoch and sequence, for as long as they remember the producer.
 * When they may have forgotten it, the log itself is asked: the header of each batch names its producer.
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

  /** Asks nothing any more. */
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
    log.info({ topic, partition, offset, records: recordCount }, 'a batch of which no answer had come is in the log')
  }

  sentUnknown({ topic, partition, recordCount }: Parameters<WrittenBatches['sentUnknown']>[0], reason: string): void {
    const { log, metrics } = this.#options
    metrics.count('delivery', 'unchecked_batches', {}, 1)
    log.warn(
      { topic, partition, records: recordCount, reason },
      'a batch that may be in the log is sent again, and brokers may have forgotten its producer: it may be there twice'
    )
  }

  async #search(batch: SoughtBatch): Promise<Finding> {
    let from = batch.from
    let queuedMs = 0
    try {
      // Partitions without a leader end here, before they take a place from others.
      const range = await this.#rangeOf(batch)
      from = range.from
      if (from >= range.end) return { type: 'absent', end: range.end }
      const queuedAt = this.#options.clock()
      // Each search ends, so this wait does.
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

  /** Where it is, if it is in the log. `end`: that of the leader's log, which readers may not see yet. */
  async #rangeOf(batch: SoughtBatch): Promise<{ readonly from: Offset; readonly end: Offset }> {
    const { offset: readable, leaderEpoch } = await this.#offset(batch, 'latest')
    const end = await this.#logEnd(batch, leaderEpoch)
    const timestampMs = Math.max(0, batch.sinceMs - CLOCKS_DIFFER_MS)
    const { offset: late } = await this.#offset(batch, { timestampMs })
    // Where no record was that late, it tells the end, which may be behind records that have become readable since.
    const notBefore = Math.min(late, readable)
    // A log that ends before what was acknowledged has lost its end, or belongs to a topic that was created anew.
    return { from: batch.from > end ? notBefore : Math.max(batch.from, notBefore), end }
  }

  async #readUpTo(end: Offset, batch: SoughtBatch, start: Offset): Promise<Finding> {
    const endsAt = this.#options.clock() + TIME_LIMIT_MS
    let from = start
    try {
      for (let bytes = 0; from < end; ) {
        const read = await this.#read(batch, from)
        // Replicas, or a new leader that asks them, are behind the end of the log.
        if (read === 'nothing') return { type: 'later', from, reason: 'the end of the log cannot be read yet' }
        const origin = read.origins.find(one => isBatch(one, batch))
        if (origin !== undefined) return { type: 'found', baseOffset: origin.baseOffset }
        from = read.nextOffset
        bytes += read.sizeBytes
        const isOver = this.#isClosed || bytes >= MAX_BYTES || this.#options.clock() >= endsAt
        if (isOver && from < end) return { type: 'later', from, reason: 'there is more to look through' }
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

  /** The end of the log of the leader, who may have records that others cannot read yet. */
  async #logEnd({ topic, partition }: SoughtBatch, leaderEpoch: number | undefined): Promise<Offset> {
    if (leaderEpoch === undefined) throw new Stopped('the broker does not tell the end of its log', true)
    const topicPartition = { topic, partition }
    const result = await this.#ask<FetchEpochEndResult>({ type: 'fetchEpochEnd', topicPartition, leaderEpoch })
    if (result.type === 'notFound') throw new Stopped('the leader does not tell the end of its log yet')
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
    const result = await this.#ask<FetchOriginsResult>({ type: 'fetchOrigins', topicPartition, offset })
    if (result.type === 'noMessages') return 'nothing'
    if (result.type !== 'success') throw stopped(result)
    return result
  }

  #ask<Result>(request: Unasked<FetchEpochEnd> | Unasked<FetchOrigins>): Promise<Result> {
    if (this.#isClosed) throw new Stopped('shutting down')
    return ask<Result>(request.type, CALL_TIMEOUT_MS + BELT_MS, requester =>
      this.#options.router.tell({ ...request, timeoutMs: CALL_TIMEOUT_MS, requester } as unknown as RouterMessage)
    )
  }
}

/** What kept a call from bringing what was asked for. */
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
      return new Stopped('the log is damaged where it may be', true)
    case 'offsetOutOfRange':
      return new Stopped('records were deleted while it was looked for')
    case 'unknownTopicOrPartition':
      return new Stopped('the partition is not there')
    case 'timedOut':
      return new Stopped('no broker has answered in time')
  }
}

/** Compaction may have taken records of it. */
const isBatch = (origin: BatchOrigin, { numbering, recordCount }: SoughtBatch): boolean =>
  origin.producerId === Number(numbering.producerId) &&
  origin.producerEpoch === numbering.epoch &&
  origin.baseSequence === numbering.nextSequence &&
  origin.lastOffset - origin.baseOffset === recordCount - 1
