import type { ActorRef } from '../actor/actor.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { BatchOrigin, Logger, MonotonicClock, Offset } from '../model.js'
import type { FetchDataResult, OffsetType, RouterMessage } from '../operations.js'
import { askRouter } from '../router/ask-router.js'
import type { Finding, SoughtBatch, WrittenBatches } from './lane-deps.js'
import { ProducerExpiration } from './producer-expiration.js'

/** Partitions that are searched at a time. Each takes the memory of one Fetch answer. */
const SEARCHES = 8
/** One search; it may go on later where it has stopped. */
const TIME_LIMIT_MS = 30_000
/** The same in bytes of records: a topic that others have written much to is not read at once. */
const MAX_BYTES = 64 * 1024 * 1024
const CALL_TIMEOUT_MS = 5_000
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
    // Each search ends, so this wait does.
    if (this.#isClosed) return { type: 'later', from: batch.from, reason: 'shutting down' }
    if (this.#running >= SEARCHES) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#running++
    const finding = await this.#search(batch)
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
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
    const endsAt = this.#options.clock() + TIME_LIMIT_MS
    let from = batch.from
    try {
      const end = await this.#offset(batch, 'latest')
      const timestampMs = Math.max(0, batch.sinceMs - CLOCKS_DIFFER_MS)
      const notBefore = await this.#offset(batch, { timestampMs })
      // A log that ends before what was acknowledged has lost its end, or belongs to a topic that was created anew.
      from = from > end ? notBefore : Math.max(from, notBefore)
      for (let bytes = 0; from < end; ) {
        const read = await this.#read(batch, from)
        if (read === 'nothing') {
          // No records are left before the end, or a new leader does not know the end yet.
          if ((await this.#offset(batch, 'latest')) >= end) break
          return { type: 'later', from, reason: 'the new leader does not tell the end of the log yet' }
        }
        const origin = read.origins.find(one => isBatch(one, batch))
        if (origin !== undefined) return { type: 'found', baseOffset: origin.baseOffset }
        from = read.nextOffset
        bytes += read.bytes
        const isOver = this.#isClosed || bytes >= MAX_BYTES || this.#options.clock() >= endsAt
        if (isOver && from < end) return { type: 'later', from, reason: 'there is more to look through' }
      }
      return { type: 'absent', end }
    } catch (error) {
      const reason = (error as Error).message
      return error instanceof Stopped && error.isForGood ? { type: 'unknown', reason } : { type: 'later', from, reason }
    }
  }

  async #offset({ topic, partition }: SoughtBatch, offsetType: OffsetType): Promise<Offset> {
    if (this.#isClosed) throw new Stopped('shutting down')
    const topicPartition = { topic, partition }
    const timeoutMs = CALL_TIMEOUT_MS
    const result = await askRouter(this.#options.router, { type: 'fetchOffset', topicPartition, offsetType, timeoutMs })
    if (result.type === 'success') return result.offset
    throw stopped(result)
  }

  async #read(
    { topic, partition }: SoughtBatch,
    offset: Offset
  ): Promise<
    'nothing' | { readonly origins: readonly BatchOrigin[]; readonly nextOffset: Offset; readonly bytes: number }
  > {
    const topicPartition = { topic, partition }
    const timeoutMs = CALL_TIMEOUT_MS
    const result = await askRouter(this.#options.router, { type: 'fetchData', topicPartition, offset, timeoutMs })
    if (result.type === 'noMessages') return 'nothing'
    if (result.type !== 'success') throw stopped(result)
    const { origins = [], nextOffset, sizeBytes } = result.batch
    return { origins, nextOffset, bytes: sizeBytes }
  }
}

/** What kept a call from bringing what was asked for. */
type Trouble =
  | Pick<Extract<FetchDataResult, { type: 'failed' }>, 'type' | 'message' | 'retriable'>
  | { readonly type: Exclude<FetchDataResult['type'], 'success' | 'noMessages' | 'failed'> }

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
