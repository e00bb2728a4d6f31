import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Offset, PartitionIdentity, RecordBatch } from '../../core/model.js'
import type { IsolationLevel } from '../../kafka/broker-client.js'
import type { DecompressionLimits } from '../../kafka/decompression-allowance.js'
import type { MessageCache } from './message-cache.js'

/** What is known of the log of a partition. Its cached records belong to this identity. */
interface Log {
  identity: PartitionIdentity
  /** `undefined`: not known yet. */
  start: Offset | undefined
  /** First offset that cannot be read yet: the high watermark, or the last stable offset with `readCommitted`. */
  end: Offset | undefined
  /** An offset within these bounds that a broker has refused; the bounds are then outdated. */
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
 * Shared by the fetch processors of all brokers: the cache, and for each partition the identity under which it is read, and
 * where its log was last seen to begin and end.
 */
export class ReadCache {
  readonly cache: MessageCache
  readonly isolationLevel: IsolationLevel
  readonly concat: (batches: readonly RecordBatch[]) => RecordBatch
  readonly decompression: DecompressionLimits | undefined
  readonly #metrics: MetricsLogger
  readonly #logs = new Map<string, Log>()
  #identityVersion = 0

  constructor({ cache, isolationLevel, concat, metrics, decompression }: ReadCacheOptions) {
    this.cache = cache
    this.isolationLevel = isolationLevel
    this.concat = concat
    this.decompression = decompression
    this.#metrics = metrics
  }

  /**
   * Called for each request with the identity that the Router knows now. Records cached under another identity are dropped:
   * another topic id means another log, and between two leader epochs the end of the log may have been lost.
   */
  meet(key: string, identity: PartitionIdentity): void {
    const log = this.#logs.get(key)
    if (log === undefined) this.#logs.set(key, { identity, start: undefined, end: undefined, refusedAt: undefined })
    else if (log.identity !== identity) this.#compare(key, log, identity)
  }

  /** The identity of the cached records; `undefined`: nothing is known of the partition, or not any more. */
  identityOf(key: string): PartitionIdentity | undefined {
    return this.#logs.get(key)?.identity
  }

  /** Another number whenever the identity of a partition that was known has changed. */
  get identityVersion(): number {
    return this.#identityVersion
  }

  /** Cached records from `offset` on. None while it is not known which of the cached records still exist. */
  recall(key: string, offset: Offset): RecordBatch | undefined {
    return this.#logs.get(key)?.refusedAt === undefined ? this.cache.get(key, offset) : undefined
  }

  /** Caches the records that a fetch from `start` on brought. */
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
   * Notes the bounds of the log that an answer named, and drops cached records outside them. A bound that the broker does
   * not name stays as it is.
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
    // The refused offset is inside again: the log was cut or created anew, and has grown since. It is not known from where on.
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

  /** Drops all of a partition: it was created anew, is gone, or has lost records. */
  forget(key: string): void {
    this.#logs.delete(key)
    this.#identityVersion++
    this.cache.invalidate(key)
  }

  /** Drops everything, because another cluster is connected. */
  forgetAll(): void {
    this.#logs.clear()
    this.#identityVersion++
    this.cache.clear()
  }

  #compare(key: string, log: Log, identity: PartitionIdentity): void {
    const isSameTopic = log.identity.topicId === identity.topicId
    // The request was routed before a later leader became known; it is answered by the identity that is known now.
    if (isSameTopic && identity.leaderEpoch < log.identity.leaderEpoch) return
    if (!isSameTopic || identity.leaderEpoch !== log.identity.leaderEpoch) {
      this.cache.invalidate(key)
      log.start = undefined
      log.end = undefined
      log.refusedAt = undefined
    }
    log.identity = identity
    this.#identityVersion++
  }

  #end(key: string, log: Log, end: Offset): void {
    // A log whose topic has no id may have been created anew instead of cut.
    const mayBeAnother = log.identity.topicId === undefined && end < (log.end ?? 0)
    if (mayBeAnother) this.cache.invalidate(key)
    else this.cache.invalidateAbove(key, end)
    log.end = end
  }
}
