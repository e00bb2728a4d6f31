/** Byte strings on their way to another thread: one after another in a buffer that is handed over, not copied. */
export interface Packed {
  readonly bytes: ArrayBuffer
  /** Length of each; {@link NULL_LENGTH} for null. */
  readonly lengths: Int32Array
}

/** A message of this size does not wait for more: what it holds should stay in the processor's cache. */
export const LARGE_MESSAGE_BYTES = 262_144

const NULL_LENGTH = -1
const FIRST_BYTES = 4_096
const LARGEST_FIRST_BYTES = 2 * LARGE_MESSAGE_BYTES
const FIRST_LENGTHS = 32
/** UTF-8 takes at most so many bytes for one UTF-16 code unit. */
const MAX_BYTES_OF_A_UNIT = 3

const NO_BYTES = Buffer.alloc(0)

/** Puts byte strings together. */
export class Packer {
  #bytes = NO_BYTES
  #used = 0
  #firstBytes = 0
  #lengths = new Int32Array(FIRST_LENGTHS)
  #count = 0

  /** Bytes that have been added. */
  get sizeBytes(): number {
    return this.#used
  }

  add(content: string | Uint8Array | null): void {
    if (content === null) {
      this.#addLength(NULL_LENGTH)
      return
    }
    const start = this.#used
    if (typeof content === 'string') {
      this.#makeCapacity(content.length * MAX_BYTES_OF_A_UNIT)
      this.#used += this.#bytes.write(content, start)
    } else {
      this.#makeCapacity(content.length)
      this.#bytes.set(content, start)
      this.#used += content.length
    }
    this.#addLength(this.#used - start)
  }

  #addLength(length: number): void {
    if (this.#count === this.#lengths.length) {
      const longer = new Int32Array(this.#count * 2)
      longer.set(this.#lengths)
      this.#lengths = longer
    }
    this.#lengths[this.#count++] = length
  }

  #makeCapacity(sizeBytes: number): void {
    const needed = this.#used + sizeBytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, this.#firstBytes, needed, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#used)
    this.#bytes = larger
  }

  /** What has been added; the packer is empty afterwards. Both buffers may be transferred. */
  take(): Packed {
    const packed = {
      bytes: this.#used === 0 ? new ArrayBuffer(0) : (this.#bytes.buffer as ArrayBuffer),
      lengths: this.#lengths
    }
    // Messages of a busy time are alike, so the next one need not grow from the beginning.
    this.#firstBytes = Math.min(LARGEST_FIRST_BYTES, this.#used + (this.#used >> 2))
    this.#bytes = NO_BYTES
    this.#lengths = new Int32Array(FIRST_LENGTHS)
    this.#used = this.#count = 0
    return packed
  }
}

/** Takes byte strings apart again, in the order in which they were added. They are views of the buffer handed over. */
export class Unpacker {
  readonly #bytes: Buffer
  readonly #lengths: Int32Array
  #at = 0
  #next = 0

  constructor({ bytes, lengths }: Packed) {
    this.#bytes = Buffer.from(bytes)
    this.#lengths = lengths
  }

  next(): Buffer | null {
    const length = this.#lengths[this.#next++]!
    if (length === NULL_LENGTH) return null
    const start = this.#at
    this.#at += length
    return this.#bytes.subarray(start, this.#at)
  }
}
