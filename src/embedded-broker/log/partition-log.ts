import { NOTHING } from '../../core/bytes.js'
import { BatchView, splitBatches } from '../protocol/record-batch.js'
import { KnownProducer, LeaderEpochs, TransactionIndex } from './batch-history.js'
import type { DamagedRange } from './recover-segment.js'
import { type BatchPlace, firstIndex, type OpenSegmentBytes, Segment } from './segment.js'

export interface LogOptions {
  readonly open: OpenSegmentBytes
  /** Size beyond which a new segment is started. */
  readonly segmentBytes: number
  /** True: a gap in the offsets starts a new segment, so that offsets can be derived from positions. */
  readonly rollsAtGaps: boolean
}

/** The stored segments. */
export interface Recovery {
  /** Base offsets of the segments, oldest first. */
  readonly baseOffsets: readonly number[]
  readonly logStartOffset: number
  /** The end of the log when it was last stored; absent: unknown. */
  readonly endOffset?: number | undefined
  /** True: compaction may have left gaps between the offsets. */
  readonly isCompacted: boolean
  readonly newestEpoch: number
  /** Called for bytes that cannot be read. */
  readonly damaged: (range: DamagedRange, baseOffset: number, bytes: Buffer) => void
  /** Called for offsets that no file has. @param toOffset the first offset after the gap */
  readonly missing: (fromOffset: number, toOffset: number) => void
}

/** The records of one partition, in segments of whole batches, oldest first. Offsets only increase. */
export class SegmentedLog {
  producers = new KnownProducer()
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
  /** The high watermark is also the next offset, because replicas on other nodes never lag. */
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

  /** Writes bytes into the log even if they are damaged, for tests of readers. */
  appendRaw(bytes: Buffer, leaderEpoch: number): void {
    const { batches, leftover } = splitBatches(Buffer.from(bytes))
    for (const batch of batches) this.append(new BatchView(batch), leaderEpoch, -1)
    if (leftover.length > 0) this.#write(leftover, this.highWatermark, this.highWatermark, -1)
    this.#wake()
  }

  /**
   * Reads at most `maxBytes` of one segment, starting with the batch that holds `offset`. The last batch may be cut.
   * `wholeFirst`: the first batch is returned whole, whatever its size is (KIP-74).
   */
  read(offset: number, maxBytes: number, wholeFirst: boolean, endOffset: number): Buffer {
    const found = this.#find(offset)
    if (!found || found.place.baseOffset >= endOffset) return NOTHING
    const { segment, place } = found
    if (maxBytes < place.sizeBytes && !wholeFirst) return NOTHING
    const stop = endOffset >= segment.nextOffset ? segment.sizeBytes : segment.find(endOffset)!.position
    const end = Math.min(stop, segment.readableEnd(place.position))
    return segment.read(place.position, Math.min(Math.max(maxBytes, place.sizeBytes), end - place.position))
  }

  /** Bytes that a reader at `offset` can get. Counting stops at `enough`. */
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

  /** The largest timestamp of all readable records; undefined: there are no records. */
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

  /** Handles DeleteRecords: records before the offset are no longer returned, and whole segments are removed. */
  deleteBefore(offset: number): void {
    this.#logStartOffset = Math.max(this.#logStartOffset, offset)
    while (this.#segments.length > 1 && this.#segments[0]!.nextOffset <= this.#logStartOffset) this.#dropFirst()
  }

  /** Drops the oldest segments beyond the limit. The newest segment always stays. */
  retain(maxBytes: number): void {
    if (maxBytes < 0) return
    while (this.#segments.length > 1 && this.#sizeBytes - this.#segments[0]!.sizeBytes >= maxBytes) {
      this.#logStartOffset = Math.max(this.#logStartOffset, this.#segments[1]!.baseOffset)
      this.#dropFirst()
    }
  }

  /** Replaces all batches by compacted batches with the same offsets. */
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

  /** Drops the batch that holds the offset and all later batches, and the state that they had created. */
  truncate(offset: number): void {
    const kept = [...this.batches()].filter(batch => batch.lastOffset < offset)
    const copies = kept.map(({ bytes }) => new BatchView(Buffer.from(bytes)))
    for (const segment of this.#segments) segment.remove()
    this.#segments = []
    this.#sizeBytes = 0
    this.producers = new KnownProducer()
    this.transactions = new TransactionIndex()
    this.epochs = new LeaderEpochs()
    for (const batch of copies) {
      this.#write(batch.bytes, batch.baseOffset, batch.lastOffset, batch.maxTimestamp)
      this.#seen(batch)
    }
    this.#wake()
  }

  /** Loads the segments on disk, oldest first, and rebuilds the state of producers, transactions and epochs. */
  recover({ baseOffsets, logStartOffset, endOffset = 0, isCompacted, newestEpoch, damaged, missing }: Recovery): void {
    let expected = logStartOffset
    for (const [index, baseOffset] of baseOffsets.entries()) {
      const segment = new Segment(baseOffset, this.#options.open(baseOffset, 0))
      const isLast = index === baseOffsets.length - 1
      const ranges = segment.recover(newestEpoch, isLast, batch => this.#seen(batch))
      for (const range of ranges) damaged(range, baseOffset, segment.read(range.position, range.sizeBytes))
      this.#segments.push(segment)
      this.#sizeBytes += segment.sizeBytes
      if (baseOffset > expected && !isCompacted) missing(expected, baseOffset)
      expected = Math.max(expected, segment.nextOffset)
    }
    this.producers.forgetAllButLast()
    this.#logStartOffset = Math.max(logStartOffset, this.#segments[0]?.baseOffset ?? 0)
    if (endOffset <= expected) return
    missing(expected, endOffset)
    // The missing offsets are not used again, because readers that have passed them would miss new records there.
    this.#roll(endOffset)
  }

  /** True after its topic was deleted. */
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
    const segment = new Segment(baseOffset, this.#options.open(baseOffset, full ? this.#options.segmentBytes : 0))
    this.#segments.push(segment)
    return segment
  }

  #find(offset: number): { readonly segment: Segment; readonly place: BatchPlace } | undefined {
    const segments = this.#segments
    let at = firstIndex(segments.length, index => segments[index]!.nextOffset > offset)
    for (; at < segments.length; at++) {
      const segment = segments[at]!
      const place = segment.find(offset)
      // A segment with a damaged end may lack the batch. The next segment then has the first readable batch.
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
