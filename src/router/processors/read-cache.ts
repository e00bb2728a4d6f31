import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Offset, PartitionIdentity, RecordBatch } from '../../core/model.js'
import type { IsolationLevel } from '../../kafka/broker-client.js'
import type { DecompressionLimits } from '../../kafka/packed-records.js'
import type { MessageCache } from './message-cache.js'
import { OpenTransactions } from './open-transactions.js'

/** The known state of the log of a partition. The cached records of the partition belong to `identity`. */
interface Log {
  identity: PartitionIdentity
  /** `undefined`: not known yet. */
  start: Offset | undefined
  /** The first offset that cannot be read yet: the high watermark, or the last stable offset with `readCommitted`. */
  end: Offset | undefined
  /** An offset between `start` and `end` that a broker has refused; `start` and `end` are then outdated. */
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
 * The state that the fetch processors of all brokers share: the cache, for each partition its identity and the last known
 * bounds of its log, and the partitions with an open transaction.
 */
export class ReadCache {
  readonly cache: MessageCache
  readonly isolationLevel: IsolationLevel
  readonly concat: (batches: readonly RecordBatch[]) => RecordBatch
  readonly decompression: DecompressionLimits | undefined
  readonly openTransactions: OpenTransactions
  readonly #metrics: MetricsLogger
  readonly #logs = new Map<string, Log>()
  #identityVersion = 0

  constructor({ cache, isolationLevel, concat, metrics, decompression }: ReadCacheOptions) {
    this.cache = cache
    this.isolationLevel = isolationLevel
    this.concat = concat
    this.decompression = decompression
    this.openTransactions = new OpenTransactions(isolationLevel)
    this.#metrics = metrics
  }

  /**
   * Called for each request with the identity that the Router knows now. Records cached under another identity are
   * dropped. Another topic id means another log, and a new leader may have lost the end of the log.
   */
  setIdentity(key: string, identity: PartitionIdentity): void {
    const log = this.#logs.get(key)
    if (log === undefined) this.#logs.set(key, { identity, start: undefined, end: undefined, refusedAt: undefined })
    else if (log.identity !== identity) this.#compare(key, log, identity)
  }

  /** The identity of the cached records; `undefined`: the partition is unknown or was forgotten. */
  identityOf(key: string): PartitionIdentity | undefined {
    return this.#logs.get(key)?.identity
  }

  /** A version that changes whenever the identity of a known partition changes. */
  get identityVersion(): number {
    return this.#identityVersion
  }

  /** Cached records from `offset` on; `undefined` while it is unknown which cached records still exist in the log. */
  lookUp(key: string, offset: Offset): RecordBatch | undefined {
    return this.#logs.get(key)?.refusedAt === undefined ? this.cache.get(key, offset) : undefined
  }

  keep(key: string, start: Offset, batch: RecordBatch): void {
    this.cache.add(key, start, batch)
    this.#metrics.gauge?.('router', 'cache_bytes', {}, this.cache.sizeBytes)
  }

  startOf(key: string): Offset | undefined {
    return this.#logs.get(key)?.start
  }

  endOf(key: string): Offset | undefined {
    return this.#logs.get(key)?.end
  }

  /**
   * Notes the bounds of the log in an answer, and drops cached records outside them. A bound that the broker does not
   * report stays as it is.
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
    // The refused offset is inside the log again: the log was cut or created again, and has grown since. It is unknown
    // at which offset the new records begin.
    if (refusedAt !== undefined && refusedAt >= (log.start ?? 0) && refusedAt <= (log.end ?? -1)) {
      this.cache.invalidate(key)
    }
  }

  /**
   * Notes that a broker has refused `offset` without reporting the bounds of the log. An offset outside the known
   * bounds changes nothing. An offset inside them means that records below or above it are gone. Then the cache serves
   * nothing until the next answer reports the bounds.
   */
  sawOutOfRange(key: string, offset: Offset): void {
    const log = this.#logs.get(key)
    if (log?.end === undefined || offset > log.end || offset < (log.start ?? 0)) return
    log.refusedAt = offset
  }

  /** Drops everything about a partition that was created again, was deleted, or has lost records. */
  forget(key: string): void {
    this.#logs.delete(key)
    this.#identityVersion++
    this.cache.invalidate(key)
    this.openTransactions.forget(key)
  }

  /** Drops everything, because another cluster is connected. */
  forgetAll(): void {
    this.#logs.clear()
    this.#identityVersion++
    this.cache.clear()
    this.openTransactions.clear()
  }

  #compare(key: string, log: Log, identity: PartitionIdentity): void {
    const isSameTopic = log.identity.topicId === identity.topicId
    // The request was routed before a later leader became known. The known identity stays.
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
    // A log whose topic has no id may have been created again instead of cut.
    const mayBeAnother = log.identity.topicId === undefined && end < (log.end ?? 0)
    if (mayBeAnother) this.cache.invalidate(key)
    else this.cache.invalidateAbove(key, end)
    log.end = end
  }
}
