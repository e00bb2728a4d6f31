import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { Offset, PartitionIdentity, RecordBatch } from '../model.js'
import type { IsolationLevel } from '../wire/broker-client.js'
import type { DecompressionLimits } from '../wire/decompression-allowance.js'
import type { MessageCache } from './message-cache.js'

/** What is known of a partition's log. What is cached of the partition belongs to this identity. */
interface Log {
  identity: PartitionIdentity
  /** `undefined`: no broker has told yet. */
  start: Offset | undefined
  /** First offset nobody may read yet: high watermark, or last stable offset where only committed data is read. */
  end: Offset | undefined
  /** An offset within these bounds that a broker has refused: they are not true any more. */
  refusedAt: Offset | undefined
}

export interface ReadCacheOptions {
  readonly cache: MessageCache
  readonly isolationLevel: IsolationLevel
  /** Joins contiguous batches without copying their bytes. */
  readonly concat: (batches: readonly RecordBatch[]) => RecordBatch
  readonly metrics: MetricsLogger
  readonly decompression?: DecompressionLimits | undefined
}

/**
 * What all fetch processors of a router share, whichever broker they ask: the cache, and what is known of each
 * partition's log: which life of it is read, and where it was last seen to begin and end.
 */
export class ReadCache {
  readonly cache: MessageCache
  readonly isolationLevel: IsolationLevel
  readonly concat: (batches: readonly RecordBatch[]) => RecordBatch
  readonly decompression: DecompressionLimits | undefined
  readonly #metrics: MetricsLogger
  readonly #logs = new Map<string, Log>()

  constructor({ cache, isolationLevel, concat, metrics, decompression }: ReadCacheOptions) {
    this.cache = cache
    this.isolationLevel = isolationLevel
    this.concat = concat
    this.decompression = decompression
    this.#metrics = metrics
  }

  /**
   * A request goes to the partition as the Router knows it now. Whatever is cached of another identity is dropped: of
   * another topic id, since that is another log, and of another leader epoch, since the end of the log may have been lost
   * between the two.
   */
  meet(key: string, identity: PartitionIdentity): void {
    const log = this.#logs.get(key)
    if (log === undefined) this.#logs.set(key, { identity, start: undefined, end: undefined, refusedAt: undefined })
    else if (log.identity !== identity) this.#compare(key, log, identity)
  }

  /** The identity of what is cached; `undefined`: nothing is known, or what was known is void. */
  identityOf(key: string): PartitionIdentity | undefined {
    return this.#logs.get(key)?.identity
  }

  /** Records from `offset` on. None while it is in doubt which of those that are cached still exist. */
  recall(key: string, offset: Offset): RecordBatch | undefined {
    return this.#logs.get(key)?.refusedAt === undefined ? this.cache.get(key, offset) : undefined
  }

  /** Caches what asking for `start` brought. */
  keep(key: string, start: Offset, batch: RecordBatch): void {
    this.cache.add(key, start, batch)
    this.#metrics.gauge('router', 'cache_bytes', {}, this.cache.sizeBytes)
  }

  startOf(key: string): Offset | undefined {
    return this.#logs.get(key)?.start
  }

  endOf(key: string): Offset | undefined {
    return this.#logs.get(key)?.end
  }

  /**
   * Notes what an answer told, and forgets what is cached below the start or above the end. A bound that the broker does
   * not tell changes nothing.
   */
  saw(key: string, start: Offset | undefined, end: Offset | undefined): void {
    const log = this.#logs.get(key)
    if (log === undefined) return
    if (end !== undefined) this.#end(key, log, end)
    if (start !== undefined) {
      log.start = start
      this.cache.invalidateBelow(key, start)
    }
    const { refusedAt } = log
    log.refusedAt = undefined
    // The offset is inside again: the log was cut, or created anew, and has grown since. Nobody knows from where on.
    if (refusedAt !== undefined && refusedAt >= (log.start ?? 0) && refusedAt <= (log.end ?? -1)) {
      this.cache.invalidate(key)
    }
  }

  /**
   * A broker has refused `offset` and does not tell where the log begins and ends. An offset that was outside of it says
   * nothing new. One that was inside says that records are gone, below it or above it: nothing is served from the cache
   * until the next answer tells the bounds.
   */
  sawOutOfRange(key: string, offset: Offset): void {
    const log = this.#logs.get(key)
    if (log?.end === undefined || offset > log.end || offset < (log.start ?? 0)) return
    log.refusedAt = offset
  }

  /** The partition was created anew, is gone, or lost its history. */
  forget(key: string): void {
    this.#logs.delete(key)
    this.cache.invalidate(key)
  }

  /** Another cluster answers: nothing is known of its logs. */
  forgetAll(): void {
    this.#logs.clear()
    this.cache.clear()
  }

  #compare(key: string, log: Log, identity: PartitionIdentity): void {
    const isSameTopic = log.identity.topicId === identity.topicId
    // Asked before the news of a later leader came: it will be answered by what is known now.
    if (isSameTopic && identity.leaderEpoch < log.identity.leaderEpoch) return
    if (!isSameTopic || identity.leaderEpoch !== log.identity.leaderEpoch) {
      this.cache.invalidate(key)
      log.start = undefined
      log.end = undefined
      log.refusedAt = undefined
    }
    log.identity = identity
  }

  #end(key: string, log: Log, end: Offset): void {
    // A log whose topic has no id may have been created anew instead of cut.
    const mayBeAnother = log.identity.topicId === undefined && end < (log.end ?? 0)
    if (mayBeAnother) this.cache.invalidate(key)
    else this.cache.invalidateAbove(key, end)
    log.end = end
  }
}
