/** The contiguous bytes of one log segment. */
export interface SegmentBytes {
  readonly sizeBytes: number
  append(bytes: Buffer): void
  /** Overwrites bytes. */
  overwrite(position: number, bytes: Buffer): void
  /** Truncates. */
  truncate(sizeBytes: number): void
  /** Fewer than `length` at the end. Never changes afterwards, so it may be sent without copying. */
  read(position: number, length: number): Buffer
  /** Closes the file; the bytes stay and can be read. */
  close(): void
  /** Closes and removes the bytes. */
  remove(): void
}

/**
 * Opens the bytes of the segment with this base offset; after a restart some may exist. `expectedBytes` is an
 * estimate.
 */
export type OpenSegmentBytes = (baseOffset: number, expectedBytes: number) => SegmentBytes

const FIRST_CAPACITY_BYTES = 4096

/** A buffer that doubles. Readers keep views of the old one, which is left as it was. */
export class MemoryBytes implements SegmentBytes {
  #bytes: Buffer
  #size = 0

  /** Full size at once where that is likely needed: growing costs a copy. */
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

  close(): void {}

  remove(): void {
    this.#bytes = Buffer.allocUnsafeSlow(0)
    this.#size = 0
  }
}

export const openMemoryBytes: OpenSegmentBytes = (_baseOffset, expectedBytes) => new MemoryBytes(expectedBytes)
