import { BatchView } from '../protocol/record-batch.js'
import { type DamagedRange, recoverSegment } from './recover-segment.js'
import type { SegmentBytes } from './segment-bytes.js'

/** The position of one batch in its segment. */
export interface BatchPlace {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly position: number
  readonly sizeBytes: number
  readonly maxTimestamp: number
}

/** A part of the log: its bytes, and the position of each batch. */
export class Segment {
  readonly baseOffset: number
  readonly #bytes: SegmentBytes
  readonly #places: BatchPlace[] = []
  #holes: readonly number[] = []
  /** The position after the last damage. */
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
    let low = 0
    let high = this.#places.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#places[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    return this.#places[low]
  }

  read(position: number, length: number): Buffer {
    return this.#bytes.read(position, length)
  }

  batchAt(place: BatchPlace): BatchView {
    return new BatchView(this.#bytes.read(place.position, place.sizeBytes))
  }

  /**
   * Indexes stored bytes, and passes each batch to `seen`. A torn tail is truncated when nothing follows it; other
   * unreadable bytes stay and are skipped.
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

  /** Where unreadable bytes begin after a position; the end when there are none. */
  readableEnd(position: number): number {
    return this.#holes.find(hole => hole > position) ?? this.sizeBytes
  }

  /** True: its end is damaged, so nothing may be appended. */
  get isSealed(): boolean {
    return this.#isSealed
  }

  #damagedFrom(position: number, end: number): DamagedRange {
    return { position, sizeBytes: end - position, fromOffset: this.nextOffset, toOffset: this.nextOffset + 1 }
  }

  close(): void {
    this.#bytes.close()
  }

  remove(): void {
    this.#bytes.remove()
  }
}
