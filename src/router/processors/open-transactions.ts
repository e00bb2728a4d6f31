import type { Offset, TopicPartition } from '../../core/model.js'
import type { FetchPartitionResponse, IsolationLevel } from '../../kafka/broker-client.js'

/** An open transaction is told from this age on: most transactions are shorter. */
const TOLD_FROM_MS = 60_000
/** A partition that no read has asked for in this time is not told any more. */
const READ_WITHIN_MS = 60_000
/**
 * The last answer about a partition counts for this time, even if the broker has no news of it. A transaction is told only
 * from an answer that came so much after the first one.
 */
const ANSWER_COUNTS_MS = 30_000
/** Partitions that are kept at most. Further ones are not watched. */
const MOST_PARTITIONS = 10_000

/** A partition whose last stable offset is below its high watermark, and has not moved for a minute or more. */
export interface OpenTransactionView extends TopicPartition {
  /** Offset where the oldest open transaction begins. Readers of committed records do not get beyond it. */
  readonly lastStableOffset: Offset
  /** Offsets from there to the high watermark. */
  readonly records: number
  /** How long reads have seen this last stable offset, in milliseconds. */
  readonly openMs: number
  /** True: this Router reads committed records only, so its reads wait behind the transaction. */
  readonly holdsReads: boolean
}

interface HeldPartition extends TopicPartition {
  lastStableOffset: Offset
  highWatermark: Offset
  /** Since when reads have seen this last stable offset. */
  since: number
  /** When a response had the partition. */
  answeredAt: number
  /** When a response had the partition, or left it out because there was no news. */
  seenAt: number
}

/**
 * The partitions where a transaction is open, as far as reads see it that are made anyway: every Fetch response has the
 * last stable offset, with each isolation level. All times are of a monotonic clock.
 */
export class OpenTransactions {
  readonly #holdsReads: boolean
  readonly #held = new Map<string, HeldPartition>()
  /** When partitions that are read no more were last removed to free places. */
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(isolationLevel: IsolationLevel) {
    this.#holdsReads = isolationLevel === 'readCommitted'
  }

  /** Notes what a response says about a partition. */
  saw(key: string, { topic, partition, ...response }: FetchPartitionResponse, now: number): void {
    const { highWatermark = -1, lastStableOffset = -1 } = response
    // Some brokers do not report the last stable offset.
    if (lastStableOffset < 0 || lastStableOffset >= highWatermark) {
      this.#held.delete(key)
      return
    }
    const held = this.#held.get(key)
    if (held === undefined) {
      if (!this.#mayAdd(now)) return
      const times = { since: now, answeredAt: now, seenAt: now }
      this.#held.set(key, { topic, partition, lastStableOffset, highWatermark, ...times })
      return
    }
    if (held.lastStableOffset !== lastStableOffset || !isRead(held, now)) held.since = now
    held.lastStableOffset = lastStableOffset
    held.highWatermark = highWatermark
    held.answeredAt = held.seenAt = now
  }

  /**
   * Notes that a broker has no news of a partition: its high watermark has not moved, and the end of a transaction moves
   * it.
   *
   * @returns true: the last answer about the partition is old, and the broker must be asked again. A broker moves the
   * high watermark a moment before the last stable offset, and an answer of that moment would count for ever.
   */
  noNews(key: string, now: number): boolean {
    const held = this.#held.size === 0 ? undefined : this.#held.get(key)
    if (held === undefined) return false
    if (!isRead(held, now)) held.since = now
    held.seenAt = now
    return now - held.answeredAt >= ANSWER_COUNTS_MS
  }

  forget(key: string): void {
    this.#held.delete(key)
  }

  clear(): void {
    this.#held.clear()
  }

  /** The partitions with an open transaction that is a minute old or older, the oldest one first. */
  views(now: number): OpenTransactionView[] {
    this.#removeUnread(now)
    const views: OpenTransactionView[] = []
    for (const held of this.#held.values()) if (isTold(held, now)) views.push(this.#viewOf(held, now))
    return views.sort((one, other) => other.openMs - one.openMs)
  }

  /** Programs that never ask for views need the places of partitions that are read no more. */
  #mayAdd(now: number): boolean {
    if (this.#held.size >= MOST_PARTITIONS && now - this.#sweptAt >= READ_WITHIN_MS) this.#removeUnread(now)
    return this.#held.size < MOST_PARTITIONS
  }

  #removeUnread(now: number): void {
    this.#sweptAt = now
    for (const [key, held] of this.#held) if (!isRead(held, now)) this.#held.delete(key)
  }

  #viewOf(
    { topic, partition, lastStableOffset, highWatermark, since }: HeldPartition,
    now: number
  ): OpenTransactionView {
    const records = highWatermark - lastStableOffset
    return { topic, partition, lastStableOffset, records, openMs: now - since, holdsReads: this.#holdsReads }
  }
}

const isTold = ({ since, answeredAt }: HeldPartition, now: number): boolean =>
  now - since >= TOLD_FROM_MS && answeredAt - since >= ANSWER_COUNTS_MS

const isRead = ({ seenAt }: HeldPartition, now: number): boolean => now - seenAt < READ_WITHIN_MS
