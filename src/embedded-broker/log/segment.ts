import { BatchView } from '../protocol/record-batch.js'
import { type DamagedRange, recoverSegment } from './recover-segment.js'

export interface BatchPlace {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly position: number
  readonly sizeBytes: number
  readonly maxTimestamp: number
}

/**
 * The first index at which the condition holds, found by bisection; `count`: there is no such index. The condition must
 * hold for all later indexes as well.
 */
export function firstIndex(count: number, holds: (index: number) => boolean): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}

export class Segment {
  readonly baseOffset: number
  readonly #bytes: SegmentBytes
  readonly #places: BatchPlace[] = []
  #holes: readonly number[] = []
  #endOffset = 0
  #isSealed = false

  constructor(baseOffset: number, bytes: SegmentBytes) {
    this.baseOffset = baseOffset
    this.#bytes = bytes
  }

  get sizeBytes(): number {
    return this.#bytes.sizeBytes
  }
  get places(): readonly BatchPlace[] {
    return this.#places
  }
  get nextOffset(): number {
    const last = this.#places.at(-1)
    return Math.max(this.#endOffset, last ? last.lastOffset + 1 : this.baseOffset)
  }

  append(bytes: Buffer, baseOffset: number, lastOffset: number, maxTimestamp: number): void {
    const position = this.#bytes.sizeBytes
    this.#bytes.append(bytes)
    this.#places.push({ baseOffset, lastOffset, position, sizeBytes: bytes.length, maxTimestamp })
  }

  /** The first batch that ends at or after `offset`. */
  find(offset: number): BatchPlace | undefined {
    return this.#places[firstIndex(this.#places.length, index => this.#places[index]!.lastOffset >= offset)]
  }

  read(position: number, length: number): Buffer {
    return this.#bytes.read(position, length)
  }

  batchAt(place: BatchPlace): BatchView {
    return new BatchView(this.#bytes.read(place.position, place.sizeBytes))
  }

  /**
   * Indexes stored bytes, and passes each batch to `seen`. A partly written last batch is removed. Other unreadable
   * bytes stay and are skipped.
   *
   * @returns the damaged ranges
   */
  recover(newestEpoch: number, isLast: boolean, seen: (batch: BatchView) => void): readonly DamagedRange[] {
    const bytes = this.#bytes.read(0, this.#bytes.sizeBytes)
    const { batches, damaged, repaired, goodBytes } = recoverSegment(bytes, this.baseOffset, newestEpoch)
    for (const { position, batch } of batches) {
      const { baseOffset, lastOffset, maxTimestamp } = batch
      this.#places.push({ baseOffset, lastOffset, position, sizeBytes: batch.bytes.length, maxTimestamp })
      seen(batch)
    }
    for (const { position, header } of repaired) this.#bytes.overwrite(position, header)
    const ranges = [...damaged]
    if (goodBytes < bytes.length) {
      if (isLast) this.#bytes.truncate(goodBytes)
      else ranges.push(this.#damagedFrom(goodBytes, bytes.length))
    }
    this.#holes = ranges.map(({ position }) => position)
    const end = ranges.at(-1)
    this.#endOffset = end?.toOffset ?? this.baseOffset
    this.#isSealed = end !== undefined && end.position + end.sizeBytes >= this.#bytes.sizeBytes
    return ranges
  }

  /** The position of the next unreadable bytes after this position; the end of the segment when there are none. */
  readableEnd(position: number): number {
    return this.#holes.find(hole => hole > position) ?? this.sizeBytes
  }

  /** True when the end of the segment is damaged, so that nothing may be appended. */
  get isSealed(): boolean {
    return this.#isSealed
  }

  #damagedFrom(position: number, end: number): DamagedRange {
    return { position, sizeBytes: end - position, fromOffset: this.nextOffset, toOffset: this.nextOffset + 1 }
  }

  remove(): void {
    this.#bytes.remove()
  }
}

/** The contiguous bytes of one log segment. */
export interface SegmentBytes {
  readonly sizeBytes: number
  append(bytes: Buffer): void
  overwrite(position: number, bytes: Buffer): void
  truncate(sizeBytes: number): void
  /** Returns fewer than `length` bytes at the end. The result never changes, so it may be sent without copying. */
  read(position: number, length: number): Buffer
  remove(): void
}

/**
 * Opens the bytes of the segment with this base offset. After a restart the segment may already have bytes.
 * `expectedBytes` is an estimate.
 */
export type OpenSegmentBytes = (baseOffset: number, expectedBytes: number) => SegmentBytes

const FIRST_CAPACITY_BYTES = 4096

/**
 * The bytes of a segment in a buffer that doubles when it is full. The old buffer is not changed, because readers keep
 * views of it.
 */
export class MemoryBytes implements SegmentBytes {
  #bytes: Buffer
  #size = 0

  /** @param expectedBytes size of the first buffer; a good estimate saves copies */
  constructor(expectedBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(expectedBytes)
  }

  get sizeBytes(): number {
    return this.#size
  }

  append(bytes: Buffer): void {
    const needed = this.#size + bytes.length
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2, FIRST_CAPACITY_BYTES))
      this.#bytes.copy(grown, 0, 0, this.#size)
      this.#bytes = grown
    }
    bytes.copy(this.#bytes, this.#size)
    this.#size = needed
  }

  read(position: number, length: number): Buffer {
    return this.#bytes.subarray(position, Math.min(position + length, this.#size))
  }

  overwrite(position: number, bytes: Buffer): void {
    bytes.copy(this.#bytes, position)
  }

  truncate(sizeBytes: number): void {
    this.#size = sizeBytes
  }

  remove(): void {
    this.#bytes = Buffer.allocUnsafeSlow(0)
    this.#size = 0
  }
}

export const openMemoryBytes: OpenSegmentBytes = (_baseOffset, expectedBytes) => new MemoryBytes(expectedBytes)
