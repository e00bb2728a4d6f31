import { BatchView, HEADER_BYTES, LENGTH_OVERHEAD_BYTES } from '../protocol/record-batch.js'
import type { SegmentBytes } from './segment-bytes.js'

/** Where one batch lies in its segment. */
export interface BatchPlace {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly position: number
  readonly sizeBytes: number
  readonly maxTimestamp: number
}

/** A stretch of the log: its bytes, and for each batch where it lies. */
export class Segment {
  readonly baseOffset: number
  readonly #bytes: SegmentBytes
  readonly #places: BatchPlace[] = []

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
    return last ? last.lastOffset + 1 : this.baseOffset
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
   * Indexes bytes that were there before us, batch by batch, and hands each header to `seen`.
   * Stops at the first one that is torn.
   *
   * @returns the bytes that are whole; a torn tail begins there
   */
  scan(seen: (header: BatchView) => void): number {
    let position = 0
    this.#bytes.open()
    while (position < this.sizeBytes) {
      const header = this.#bytes.read(position, HEADER_BYTES)
      const size = header.length < HEADER_BYTES ? undefined : header.readInt32BE(8) + LENGTH_OVERHEAD_BYTES
      if (size === undefined || size < HEADER_BYTES || position + size > this.sizeBytes) return position
      const head = new BatchView(header)
      // Of the records only those of control batches matter here.
      const batch = head.isControl ? new BatchView(this.#bytes.read(position, size)) : head
      if (batch.lastOffsetDelta < 0 || batch.baseOffset < this.nextOffset) return position
      this.#places.push({
        baseOffset: batch.baseOffset,
        lastOffset: batch.lastOffset,
        position,
        sizeBytes: size,
        maxTimestamp: batch.maxTimestamp
      })
      seen(batch)
      position += size
    }
    return position
  }

  close(): void {
    this.#bytes.close()
  }

  remove(): void {
    this.#bytes.remove()
  }
}
