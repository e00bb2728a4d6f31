import { BatchView, splitBatches } from '../protocol/record-batch.js'
import { LeaderEpochs } from './leader-epochs.js'
import { ProducerState } from './producer-state.js'
import type { DamagedRange } from './recover-segment.js'
import { type BatchPlace, Segment } from './segment.js'
import type { OpenSegmentBytes } from './segment-bytes.js'
import { TransactionIndex } from './transactions.js'

export interface LogOptions {
  readonly open: OpenSegmentBytes
  /** Size beyond which a new segment is started. */
  readonly segmentBytes: number
  /** After a gap in the offsets a new segment is started, so that each offset follows from its position. */
  readonly rollsAtGaps: boolean
}

/** The stored segments. */
export interface Recovery {
  /** Of the segments, oldest first. */
  readonly baseOffsets: readonly number[]
  readonly logStartOffset: number
  /** Behind the last record that there was for certain; absent: not known. */
  readonly endOffset?: number | undefined
  /** Compaction leaves gaps between the offsets. */
  readonly isCompacted: boolean
  readonly newestEpoch: number
  /** Called for bytes that cannot be read. */
  readonly damaged: (range: DamagedRange, baseOffset: number, bytes: Buffer) => void
  /** Called for offsets that no file has. @param toOffset the first one behind them */
  readonly missing: (fromOffset: number, toOffset: number) => void
}

/** Bytes of the log, cut anywhere; empty when the limit does not let the first batch through. */
export interface LogSlice {
  readonly bytes: Buffer
  readonly firstBatchIncomplete: boolean
}

const NOTHING: LogSlice = { bytes: Buffer.alloc(0), firstBatchIncomplete: false }

/** The records of one partition: segments of whole batches, oldest first. Offsets only grow. */
export class PartitionLog {
  producers = new ProducerState()
  transactions = new TransactionIndex()
  epochs = new LeaderEpochs()
  readonly #options: LogOptions
  readonly #watchers = new Set<() => void>()
  #segments: Segment[] = []
  #logStartOffset = 0
  #sizeBytes = 0
  #isRemoved = false

  constructor(options: LogOptions) {
    this.#options = options
  }

  get logStartOffset(): number {
    return this.#logStartOffset
  }
  /** Also the next offset: copies on other nodes are never behind in here. */
  get highWatermark(): number {
    return this.#segments.at(-1)?.nextOffset ?? this.#logStartOffset
  }
  get lastStableOffset(): number {
    return this.transactions.lastStableOffset(this.highWatermark)
  }
  get sizeBytes(): number {
    return this.#sizeBytes
  }
  get segments(): readonly Segment[] {
    return this.#segments
  }

  /** Appends one whole batch, rewriting its base offset and leader epoch in place. */
  append(batch: BatchView, leaderEpoch: number, nowMs: number): number {
    const baseOffset = this.highWatermark
    batch.place(baseOffset, leaderEpoch)
    this.#write(batch.bytes, baseOffset, baseOffset + Math.max(0, batch.lastOffsetDelta), batch.maxTimestamp)
    this.epochs.appended(leaderEpoch, baseOffset)
    if (batch.producerId >= 0) this.producers.appended(batch, nowMs)
    this.transactions.appended(batch)
    this.#wake()
    return baseOffset
  }

  /** For tests of readers: writes the bytes into the log, damaged or not. */
  appendRaw(bytes: Buffer, leaderEpoch: number): void {
    const { batches, leftover } = splitBatches(Buffer.from(bytes))
    for (const batch of batches) this.append(new BatchView(batch), leaderEpoch, -1)
    if (leftover.length > 0) this.#write(leftover, this.highWatermark, this.highWatermark, -1)
    this.#wake()
  }

  /**
   * Up to `maxBytes` from the batch that holds `offset` on, cut at exactly that many, of one segment.
   * `wholeFirst`: the first batch comes whole however large it is (KIP-74).
   */
  read(offset: number, maxBytes: number, wholeFirst: boolean, endOffset: number): LogSlice {
    const found = this.#find(offset)
    if (!found || found.place.baseOffset >= endOffset) return NOTHING
    const { segment, place } = found
    const incomplete = maxBytes < place.sizeBytes
    if (incomplete && !wholeFirst) return { bytes: NOTHING.bytes, firstBatchIncomplete: true }
    const stop = endOffset >= segment.nextOffset ? segment.sizeBytes : segment.find(endOffset)!.position
    const end = Math.min(stop, segment.readableEnd(place.position))
    return {
      bytes: segment.read(place.position, Math.min(Math.max(maxBytes, place.sizeBytes), end - place.position)),
      firstBatchIncomplete: false
    }
  }

  /** Bytes a reader at `offset` could get; counting stops once `enough` is reached. */
  readableBytes(offset: number, endOffset: number, enough: number): number {
    const found = this.#find(offset)
    if (!found || found.place.baseOffset >= endOffset) return 0
    let bytes = -found.place.position
    for (let at = this.#segments.indexOf(found.segment); at < this.#segments.length && bytes < enough; at++) {
      const segment = this.#segments[at]!
      if (endOffset < segment.nextOffset) return bytes + segment.find(endOffset)!.position
      bytes += segment.sizeBytes
    }
    return bytes
  }

  /** The first batch with a timestamp at or after `timestampMs`. */
  findByTimestamp(timestampMs: number): BatchView | undefined {
    for (const segment of this.#segments) {
      for (const place of segment.places) {
        if (place.maxTimestamp >= timestampMs && place.lastOffset >= this.#logStartOffset) return segment.batchAt(place)
      }
    }
    return undefined
  }

  /** The largest timestamp of all readable records; undefined: there are none. */
  get maxTimestampMs(): number | undefined {
    let newest: number | undefined
    for (const segment of this.#segments) {
      for (const { lastOffset, maxTimestamp } of segment.places) {
        if (lastOffset >= this.#logStartOffset && maxTimestamp > (newest ?? -1)) newest = maxTimestamp
      }
    }
    return newest
  }

  *batches(): Generator<BatchView> {
    for (const segment of this.#segments) for (const place of segment.places) yield segment.batchAt(place)
  }

  /** Calls `wake` after every append until the returned function is called. */
  watch(wake: () => void): () => void {
    this.#watchers.add(wake)
    return () => this.#watchers.delete(wake)
  }

  /** DeleteRecords: records before the offset are not returned any more; whole segments are removed. */
  deleteBefore(offset: number): void {
    this.#logStartOffset = Math.max(this.#logStartOffset, offset)
    while (this.#segments.length > 1 && this.#segments[0]!.nextOffset <= this.#logStartOffset) this.#dropFirst()
  }

  /** Drops whole oldest segments beyond the limit; the newest always stays. */
  retain(maxBytes: number): void {
    if (maxBytes < 0) return
    while (this.#segments.length > 1 && this.#sizeBytes - this.#segments[0]!.sizeBytes >= maxBytes) {
      this.#logStartOffset = Math.max(this.#logStartOffset, this.#segments[1]!.baseOffset)
      this.#dropFirst()
    }
  }

  /** Compaction: replaces all batches by others, which keep their offsets. */
  replace(batches: readonly BatchView[]): void {
    const nextOffset = this.highWatermark
    for (const segment of this.#segments) segment.remove()
    this.#segments = []
    this.#sizeBytes = 0
    for (const { bytes, baseOffset, lastOffset, maxTimestamp } of batches) {
      this.#write(bytes, baseOffset, lastOffset, maxTimestamp)
    }
    if (this.highWatermark < nextOffset) this.#roll(nextOffset)
  }

  /** Drops the end of the log from the batch that holds the offset on, and what was learnt from it. */
  truncate(offset: number): void {
    const kept = [...this.batches()].filter(batch => batch.lastOffset < offset)
    const copies = kept.map(({ bytes }) => new BatchView(Buffer.from(bytes)))
    for (const segment of this.#segments) segment.remove()
    this.#segments = []
    this.#sizeBytes = 0
    this.producers = new ProducerState()
    this.transactions = new TransactionIndex()
    this.epochs = new LeaderEpochs()
    for (const batch of copies) {
      this.#write(batch.bytes, batch.baseOffset, batch.lastOffset, batch.maxTimestamp)
      this.#seen(batch)
    }
    this.#wake()
  }

  /** Takes over segments found on disk, oldest first, rebuilding what their headers tell. */
  recover({ baseOffsets, logStartOffset, endOffset = 0, isCompacted, newestEpoch, damaged, missing }: Recovery): void {
    let expected = logStartOffset
    for (const [index, baseOffset] of baseOffsets.entries()) {
      const segment = new Segment(baseOffset, this.#options.open(baseOffset, 0))
      const isLast = index === baseOffsets.length - 1
      const ranges = segment.recover(newestEpoch, isLast, batch => this.#seen(batch))
      for (const range of ranges) damaged(range, baseOffset, segment.read(range.position, range.sizeBytes))
      segment.close()
      this.#segments.push(segment)
      this.#sizeBytes += segment.sizeBytes
      if (baseOffset > expected && !isCompacted) missing(expected, baseOffset)
      expected = Math.max(expected, segment.nextOffset)
    }
    this.producers.forgetAllButLast()
    this.#logStartOffset = Math.max(logStartOffset, this.#segments[0]?.baseOffset ?? 0)
    if (endOffset <= expected) return
    missing(expected, endOffset)
    // Their offsets are not used again: who has read so far would not see what comes under them.
    this.#roll(endOffset)
  }

  close(): void {
    for (const segment of this.#segments) segment.close()
  }

  /** True once its topic was deleted. */
  get isRemoved(): boolean {
    return this.#isRemoved
  }

  remove(): void {
    this.#isRemoved = true
    for (const segment of this.#segments) segment.remove()
    this.#segments = []
    this.#wake()
  }

  #seen(batch: BatchView): void {
    this.epochs.appended(batch.leaderEpoch, batch.baseOffset)
    if (batch.producerId >= 0) this.producers.appended(batch, -1)
    this.transactions.appended(batch)
  }

  #write(bytes: Buffer, baseOffset: number, lastOffset: number, maxTimestamp: number): void {
    let segment = this.#segments.at(-1)
    const isBehindGap = this.#options.rollsAtGaps && segment?.nextOffset !== baseOffset
    if (!segment || isBehindGap || this.#isFull(segment, bytes.length)) {
      segment = this.#roll(baseOffset)
    }
    segment.append(bytes, baseOffset, lastOffset, maxTimestamp)
    this.#sizeBytes += bytes.length
  }

  #isFull({ sizeBytes, isSealed }: Segment, moreBytes: number): boolean {
    return isSealed || (sizeBytes > 0 && sizeBytes + moreBytes > this.#options.segmentBytes)
  }

  #roll(baseOffset: number): Segment {
    const full = this.#segments.at(-1)
    full?.close()
    const segment = new Segment(baseOffset, this.#options.open(baseOffset, full ? this.#options.segmentBytes : 0))
    this.#segments.push(segment)
    return segment
  }

  #find(offset: number): { readonly segment: Segment; readonly place: BatchPlace } | undefined {
    let low = 0
    let high = this.#segments.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#segments[middle]!.nextOffset <= offset) low = middle + 1
      else high = middle
    }
    for (; low < this.#segments.length; low++) {
      const segment = this.#segments[low]!
      const place = segment.find(offset)
      // None: the end of this segment is damaged, and further batches go into a new one.
      if (place) return { segment, place }
    }
    return undefined
  }

  #dropFirst(): void {
    const first = this.#segments.shift()!
    this.#sizeBytes -= first.sizeBytes
    first.remove()
  }

  #wake(): void {
    for (const wake of [...this.#watchers]) wake()
  }
}
