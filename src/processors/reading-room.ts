import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { Offset, RecordBatch } from '../model.js'
import type { IsolationLevel } from '../wire/broker-client.js'
import type { DecompressionLimits } from '../wire/decompression-allowance.js'
import type { MessageCache } from './message-cache.js'

/** What is known of a partition's log from the last answer about it. */
interface LogBounds {
  start: Offset
  /** First offset nobody may read yet: high watermark, or last stable offset where only committed data is read. */
  end: Offset
}

export interface ReadingRoomOptions {
  readonly cache: MessageCache
  readonly isolationLevel: IsolationLevel
  /** Joins contiguous batches without copying their bytes. */
  readonly concat: (batches: readonly RecordBatch[]) => RecordBatch
  readonly metrics: MetricsLogger
  readonly decompression?: DecompressionLimits | undefined
}

/**
 * What all fetch processors of a router share, whichever broker they ask: the cache, and where each partition's log
 * was last seen to begin and end.
 */
export class ReadingRoom {
  readonly cache: MessageCache
  readonly isolationLevel: IsolationLevel
  readonly concat: (batches: readonly RecordBatch[]) => RecordBatch
  readonly decompression: DecompressionLimits | undefined
  readonly #metrics: MetricsLogger
  readonly #bounds = new Map<string, LogBounds>()

  constructor({ cache, isolationLevel, concat, metrics, decompression }: ReadingRoomOptions) {
    this.cache = cache
    this.isolationLevel = isolationLevel
    this.concat = concat
    this.decompression = decompression
    this.#metrics = metrics
  }

  /** Caches what asking for `start` brought. */
  keep(key: string, start: Offset, batch: RecordBatch): void {
    this.cache.add(key, start, batch)
    this.#metrics.gauge('router', 'cache_bytes', {}, this.cache.sizeBytes)
  }

  endOf(key: string): Offset | undefined {
    return this.#bounds.get(key)?.end
  }

  /** Notes what an answer told, and forgets cached data that retention has removed. */
  saw(key: string, start: Offset, end: Offset): void {
    const bounds = this.#bounds.get(key)
    if (!bounds) this.#bounds.set(key, { start, end })
    else {
      bounds.end = end
      if (start <= bounds.start) return
      bounds.start = start
      this.cache.invalidateBelow(key, start)
    }
  }

  /**
   * `offset` turned out to lie outside the log. Where it once lay inside, the log was cut or created anew, and what is
   * cached of it may be of another life; an offset beyond the end says nothing about what is before.
   */
  sawOutOfRange(key: string, offset: Offset): void {
    const end = this.endOf(key)
    if (end === undefined || offset > end) return
    this.forget(key)
  }

  /** Another cluster: nothing of what is cached is true any more. */
  forgetAll(): void {
    this.#bounds.clear()
    this.cache.clear()
  }

  /** The partition was created anew or lost its history. */
  forget(key: string): void {
    this.#bounds.delete(key)
    this.cache.invalidate(key)
  }
}
