import { errors } from '../protocol/error-codes.js'
import type { BatchView } from '../protocol/record-batch.js'

/** Batches that Kafka remembers of each producer. */
const REMEMBERED_BATCHES = 5
/** Most producers remembered per partition; the oldest are forgotten first. */
const REMEMBERED_PRODUCERS = 10_000
const MAX_SEQUENCE = 0x7fffffff

interface RememberedBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly appendTimeMs: number
  /** Nodes that have lost this batch by a restart. */
  forgottenBy?: Set<number>
}

interface Producer {
  epoch: number
  /** Oldest first. */
  batches: RememberedBatch[]
  /** Of the newest record of its last batch. The time of writing does not count. */
  lastTimestampMs: number
}

/** How long brokers remember producers. */
export interface ProducerExpiration {
  /** `producer.id.expiration.ms`, counted from the timestamp of the newest record. */
  readonly expirationMs: number
  /** `producer.id.expiration.check.interval.ms`: how often they look for producers to forget. */
  readonly checkIntervalMs: number
}

export type SequenceVerdict =
  | { readonly type: 'append' }
  /** A duplicate of a batch at this offset; its records are dropped, as by Kafka. */
  | { readonly type: 'duplicate'; readonly baseOffset: number; readonly appendTimeMs: number }
  | { readonly type: 'refused'; readonly errorCode: number }

const APPEND: SequenceVerdict = { type: 'append' }

/** The sequence `count` after `sequence`, which wraps to 0 after 2147483647. */
const sequenceAfter = (sequence: number, count: number): number => {
  const next = sequence + count
  return next > MAX_SEQUENCE ? next - MAX_SEQUENCE - 1 : next
}

/**
 * What one partition knows about its idempotent producers.
 *
 * Source: apache/kafka ProducerStateManager and ProducerAppendInfo, and answers of real brokers.
 */
export class ProducerState {
  readonly #producers = new Map<number, Producer>()
  /** When the next look for producers to forget is due; `undefined`: nothing was written since the start. */
  #checkAt: number | undefined

  /**
   * Forgets the producers that have expired, when it is time to look for them. To be called before a batch is judged.
   *
   * @param openProducerIds of producers with an open transaction, which do not expire
   */
  expire(
    nowMs: number,
    { expirationMs, checkIntervalMs }: ProducerExpiration,
    openProducerIds: readonly number[]
  ): void {
    this.#checkAt ??= nowMs + checkIntervalMs
    if (nowMs < this.#checkAt) return
    this.#checkAt = nowMs + checkIntervalMs
    for (const [producerId, { lastTimestampMs }] of this.#producers) {
      const isExpired = nowMs - lastTimestampMs >= expirationMs
      if (isExpired && !openProducerIds.includes(producerId)) this.#producers.delete(producerId)
    }
  }

  /** Judges a batch that has a producer id, as `nodeId` remembers it. */
  judge(batch: BatchView, nodeId: number): SequenceVerdict {
    const producer = this.#producers.get(batch.producerId)
    // Nothing known: any sequence is taken, which is why order is only safe with one batch in flight.
    if (!producer) return APPEND
    if (batch.producerEpoch < producer.epoch) return { type: 'refused', errorCode: errors.invalidProducerEpoch }
    // The coordinator writes control batches; they carry no sequence.
    if (batch.isControl) return APPEND
    const first = batch.baseSequence
    if (batch.producerEpoch > producer.epoch) return first === 0 ? APPEND : OUT_OF_ORDER
    const last = sequenceAfter(first, batch.lastOffsetDelta)
    for (const stored of producer.batches) {
      if (stored.firstSequence !== first || stored.lastSequence !== last || stored.forgottenBy?.has(nodeId)) continue
      return { type: 'duplicate', baseOffset: stored.baseOffset, appendTimeMs: stored.appendTimeMs }
    }
    const newest = producer.batches.at(-1)
    const expected = newest ? sequenceAfter(newest.lastSequence, 1) : 0
    return first === expected ? APPEND : OUT_OF_ORDER
  }

  epochOf(producerId: number): number {
    return this.#producers.get(producerId)?.epoch ?? 0
  }

  /** Remembers an appended batch. */
  appended(batch: BatchView, appendTimeMs: number): void {
    const producer = this.#producer(batch)
    producer.lastTimestampMs = batch.maxTimestamp
    if (batch.isControl) return
    producer.batches.push({
      firstSequence: batch.baseSequence,
      lastSequence: sequenceAfter(batch.baseSequence, batch.lastOffsetDelta),
      baseOffset: batch.baseOffset,
      appendTimeMs
    })
    if (producer.batches.length > REMEMBERED_BATCHES) producer.batches.shift()
  }

  /** A restarted node rebuilds its memory from what it has on disk: the last batch of each producer. */
  nodeRestarted(nodeId: number): void {
    for (const producer of this.#producers.values()) {
      for (const batch of producer.batches.slice(0, -1)) (batch.forgottenBy ??= new Set()).add(nodeId)
    }
  }

  /** The whole cluster was restarted. Those that have expired are not loaded again. */
  forgetAllButLast(): void {
    this.#checkAt = Number.NEGATIVE_INFINITY
    for (const producer of this.#producers.values()) producer.batches = producer.batches.slice(-1)
  }

  #forgetOldest(): void {
    const [oldest] = this.#producers.keys()
    this.#producers.delete(oldest!)
  }

  #producer(batch: BatchView): Producer {
    const known = this.#producers.get(batch.producerId)
    if (known?.epoch === batch.producerEpoch) return known
    const fresh = { epoch: batch.producerEpoch, batches: [], lastTimestampMs: batch.maxTimestamp }
    this.#producers.set(batch.producerId, fresh)
    if (this.#producers.size > REMEMBERED_PRODUCERS) this.#forgetOldest()
    return fresh
  }
}

const OUT_OF_ORDER: SequenceVerdict = { type: 'refused', errorCode: errors.outOfOrderSequenceNumber }
