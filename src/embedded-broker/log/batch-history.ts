import { errorCodes } from '../../kafka/error-codes.js'
import type { BatchView } from '../protocol/record-batch.js'
import { decodeStoredRecords } from '../protocol/records.js'

/** The number of batches that Kafka remembers of each producer. */
const REMEMBERED_BATCHES = 5
/** Limit of remembered producers per partition. The oldest are forgotten first. */
const REMEMBERED_PRODUCERS = 10_000
const MAX_SEQUENCE = 0x7fffffff

interface RememberedBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly appendTimeMs: number
  forgottenBy?: Set<number>
}

interface Producer {
  epoch: number
  /** The remembered batches, oldest first. */
  batches: RememberedBatch[]
  /** The newest record timestamp in the last batch, not the time of the write. */
  lastTimestampMs: number
}

export interface ProducerExpiration {
  /** `producer.id.expiration.ms`, counted from the timestamp of the newest record. */
  readonly expirationMs: number
  /** `producer.id.expiration.check.interval.ms`: the pause between two searches for expired producers. */
  readonly checkIntervalMs: number
}

export type SequenceVerdict =
  | { readonly type: 'append' }
  /** The batch is a duplicate of the batch at this offset. Its records are dropped, as in Kafka. */
  | { readonly type: 'duplicate'; readonly baseOffset: number; readonly appendTimeMs: number }
  | { readonly type: 'refused'; readonly errorCode: number }

const APPEND: SequenceVerdict = { type: 'append' }

/** The sequence `count` after `sequence`, which wraps to 0 after 2147483647. */
const sequenceAfter = (sequence: number, count: number): number => {
  const next = sequence + count
  return next > MAX_SEQUENCE ? next - MAX_SEQUENCE - 1 : next
}

/**
 * The idempotent producers of one partition, with their last batches.
 *
 * Source: apache/kafka ProducerStateManager and ProducerAppendInfo, and answers of real brokers.
 */
export class KnownProducer {
  readonly #producers = new Map<number, Producer>()
  /** Time of the next search for expired producers; `undefined`: no batch was written since the start. */
  #checkAt: number | undefined

  /**
   * Forgets expired producers, when a search is due. Must be called before a batch is judged.
   *
   * @param openProducerIds ids of producers with an open transaction, which do not expire
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

  judge(batch: BatchView, nodeId: number): SequenceVerdict {
    const producer = this.#producers.get(batch.producerId)
    // Any sequence of an unknown producer is accepted, so order is only safe with one batch in flight.
    if (!producer) return APPEND
    if (batch.producerEpoch < producer.epoch) return { type: 'refused', errorCode: errorCodes.INVALID_PRODUCER_EPOCH }
    // The coordinator writes control batches, which have no sequence.
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

  /** Called when a node has restarted. It then remembers only the last batch of each producer, which its disk has. */
  nodeRestarted(nodeId: number): void {
    for (const producer of this.#producers.values()) {
      for (const batch of producer.batches.slice(0, -1)) (batch.forgottenBy ??= new Set()).add(nodeId)
    }
  }

  /**
   * After a restart of the whole cluster, all nodes remember only the last batch of each producer. Expired producers
   * are forgotten at the next check.
   */
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

const OUT_OF_ORDER: SequenceVerdict = { type: 'refused', errorCode: errorCodes.OUT_OF_ORDER_SEQUENCE_NUMBER }

export class LeaderEpochs {
  readonly #starts: { readonly epoch: number; readonly startOffset: number }[] = []

  appended(epoch: number, offset: number): void {
    if ((this.#starts.at(-1)?.epoch ?? -1) < epoch) this.#starts.push({ epoch, startOffset: offset })
  }

  /**
   * The newest epoch that is not newer than `epoch`, and its end offset, as Kafka's leaders answer. An epoch before all
   * known epochs ended where the first known epoch began. For an epoch newer than the leader's, the result is -1 and
   * -1.
   */
  endOf(
    epoch: number,
    currentEpoch: number,
    nextOffset: number
  ): { readonly epoch: number; readonly endOffset: number } {
    if (epoch === currentEpoch) return { epoch, endOffset: nextOffset }
    if (epoch < 0 || epoch > currentEpoch) return { epoch: -1, endOffset: -1 }
    const above = this.#starts.findIndex(entry => entry.epoch > epoch)
    // The epoch of a leader begins at the end of its log, before it writes.
    const endOffset = this.#starts[above]?.startOffset ?? nextOffset
    const below = above < 0 ? this.#starts.at(-1) : this.#starts[above - 1]
    return { epoch: below?.epoch ?? epoch, endOffset }
  }
}

/** A range that read_committed readers must skip, in the form of Fetch responses. */
interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  readonly lastOffset: number
}

const ABORT = 0

export class TransactionIndex {
  readonly #openSince = new Map<number, number>()
  readonly #aborted: AbortedTransaction[] = []

  get openProducerIds(): number[] {
    return [...this.#openSince.keys()]
  }

  /**
   * The offset at which read_committed readers stop: the first record of the oldest open transaction, else the high
   * watermark.
   */
  lastStableOffset(highWatermark: number): number {
    let stable = highWatermark
    for (const offset of this.#openSince.values()) stable = Math.min(stable, offset)
    return stable
  }

  appended(batch: BatchView): void {
    if (!batch.isTransactional) return
    if (batch.isControl) this.#ended(batch)
    else if (!this.#openSince.has(batch.producerId)) this.#openSince.set(batch.producerId, batch.baseOffset)
  }

  /** The aborted transactions that overlap the range. They may end after `toOffset`, as with real brokers. */
  abortedIn(fromOffset: number, toOffset: number): AbortedTransaction[] {
    return this.#aborted.filter(range => range.lastOffset >= fromOffset && range.firstOffset < toOffset)
  }

  /** Ends a transaction at its marker. The key of the control record is version i16, type i16 (0 abort, 1 commit). */
  #ended(marker: BatchView): void {
    const firstOffset = this.#openSince.get(marker.producerId)
    this.#openSince.delete(marker.producerId)
    if (firstOffset === undefined || markerType(marker) !== ABORT) return
    this.#aborted.push({ producerId: marker.producerId, firstOffset, lastOffset: marker.lastOffset })
  }
}

function markerType(marker: BatchView): number | undefined {
  try {
    const key = decodeStoredRecords(marker)[0]?.key
    return key && key.length >= 4 ? key.readInt16BE(2) : undefined
  } catch {
    return undefined
  }
}
