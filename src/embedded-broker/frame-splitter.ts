import { NOTHING } from '../core/bytes.js'
import { embeddedLimits } from './settings.js'
import { FramePool } from './shared-capacity.js'

/** The shortest request header: key, version, correlation id. */
const SMALLEST_FRAME_BYTES = 8
const LENGTH_BYTES = 4
/** Limit of the bytes that are allocated for an announced length. Beyond it, the buffer doubles while bytes arrive. */
const FIRST_FRAME_BYTES = 1024 * 1024
/** Larger buffers are not reused. */
const LARGEST_SPARE_BYTES = 16 * 1024 * 1024

/**
 * Cuts a byte stream into frames. A frame is a 4-byte length and this many bytes. A frame within one chunk is a view of
 * the chunk. A frame in several chunks is copied into a buffer, which can be returned with {@link
 * FrameSplitter.recycle}.
 */
export class FrameSplitter {
  #lengthBytes: Buffer = NOTHING
  /**
   * The buffer of the incomplete frame, the number of received bytes, and the length of the frame. Length 0: no frame
   * is incomplete.
   */
  #frame: Buffer = NOTHING
  #filled = 0
  #needed = 0
  readonly #pool: FramePool
  readonly #maxFrameBytes: number

  constructor(pool = new FramePool(), maxFrameBytes = embeddedLimits.maxRequestBytes) {
    this.#pool = pool
    this.#maxFrameBytes = maxFrameBytes
  }

  get heldBytes(): number {
    return this.#filled + this.#lengthBytes.length
  }

  clear(): void {
    this.#frame = this.#lengthBytes = NOTHING
    this.#filled = this.#needed = 0
  }

  /** Adds complete frames, without their length, to `frames`. Returns false when the stream is invalid. */
  push(chunk: Buffer, frames: Buffer[]): boolean {
    let at = this.#needed > 0 ? this.#fill(chunk, 0, frames) : 0
    if (this.#lengthBytes.length > 0 && at < chunk.length) {
      chunk = Buffer.concat([this.#lengthBytes, chunk.subarray(at)])
      this.#lengthBytes = NOTHING
      at = 0
    }
    while (chunk.length - at >= LENGTH_BYTES) {
      const length = chunk.readInt32BE(at)
      if (length < SMALLEST_FRAME_BYTES || length > this.#maxFrameBytes) return false
      at += LENGTH_BYTES
      if (chunk.length - at < length) {
        this.#begin(length)
        this.#fill(chunk, at, frames)
        return true
      }
      frames.push(chunk.subarray(at, at + length))
      at += length
    }
    if (at < chunk.length) this.#lengthBytes = Buffer.from(chunk.subarray(at))
    return true
  }

  /** Takes back the buffer of a frame that is no longer used, for the next large frame. */
  recycle(frame: Buffer): void {
    // A frame that is a view does not start at 0. It shares its chunk with other frames, which may still be needed.
    if (frame.byteOffset > 0) return
    const { byteLength } = frame.buffer
    if (byteLength <= LARGEST_SPARE_BYTES) this.#pool.give(Buffer.from(frame.buffer))
  }

  #begin(length: number): void {
    this.#needed = length
    this.#frame = this.#pool.take(length) ?? NOTHING
  }

  /** Takes the bytes that the incomplete frame needs. @returns the start of the rest of the chunk */
  #fill(chunk: Buffer, from: number, frames: Buffer[]): number {
    const taken = Math.min(chunk.length - from, this.#needed - this.#filled)
    if (this.#filled + taken > this.#frame.length) this.#grow(this.#filled + taken)
    chunk.copy(this.#frame, this.#filled, from, from + taken)
    this.#filled += taken
    if (this.#filled === this.#needed) {
      frames.push(this.#frame.subarray(0, this.#needed))
      this.#frame = NOTHING
      this.#filled = this.#needed = 0
    }
    return from + taken
  }

  #grow(bytes: number): void {
    const capacity =
      this.#needed <= FIRST_FRAME_BYTES
        ? 2 ** Math.ceil(Math.log2(this.#needed))
        : Math.min(this.#needed, Math.max(bytes, FIRST_FRAME_BYTES, this.#frame.length * 2))
    const larger = Buffer.allocUnsafeSlow(capacity)
    this.#frame.copy(larger, 0, 0, this.#filled)
    this.#frame = larger
  }
}
