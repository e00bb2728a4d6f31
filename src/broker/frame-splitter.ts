import { embeddedLimits } from '../config/embedded-limits.js'
import { FramePool } from './frame-pool.js'

/** The shortest request header: key, version, correlation id. */
const SMALLEST_FRAME_BYTES = 8
const LENGTH_BYTES = 4
/** So much is allocated on the word of a length; beyond it the buffer doubles as bytes really arrive. */
const FIRST_FRAME_BYTES = 1024 * 1024
/** Buffers above this are not used again. */
const LARGEST_SPARE_BYTES = 16 * 1024 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * Cuts a byte stream into frames: a 4-byte length, then that many bytes. A frame within one chunk is a view of it; one in
 * several is copied together as they come. Its buffer may be given back with {@link FrameSplitter.recycle}.
 */
export class FrameSplitter {
  /** Bytes of a length that came in pieces. */
  #lengthBytes: Buffer = NOTHING
  /** The frame begun, its bytes so far, and how many it needs; 0: none is. */
  #frame: Buffer = NOTHING
  #filled = 0
  #needed = 0
  readonly #pool: FramePool
  readonly #maxFrameBytes: number

  constructor(pool = new FramePool(), maxFrameBytes = embeddedLimits.maxRequestBytes) {
    this.#pool = pool
    this.#maxFrameBytes = maxFrameBytes
  }

  /** Of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#filled + this.#lengthBytes.length
  }

  /** Forgets what came of a frame that will not become whole. */
  clear(): void {
    this.#frame = this.#lengthBytes = NOTHING
    this.#filled = this.#needed = 0
  }

  /** Adds whole frames, without their length, to `frames`. False: the stream makes no sense. */
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

  /** Nobody looks at this frame any more: the next large one may be put into its buffer. */
  recycle(frame: Buffer): void {
    // A view of a chunk starts behind its length, and its neighbours may still be needed.
    if (frame.byteOffset > 0) return
    const { byteLength } = frame.buffer
    if (byteLength <= LARGEST_SPARE_BYTES) this.#pool.give(Buffer.from(frame.buffer))
  }

  #begin(length: number): void {
    this.#needed = length
    this.#frame = this.#pool.take(length) ?? NOTHING
  }

  /** Takes what the frame begun needs. @returns where the rest of the chunk starts */
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
    const room =
      this.#needed <= FIRST_FRAME_BYTES
        ? 2 ** Math.ceil(Math.log2(this.#needed))
        : Math.min(this.#needed, Math.max(bytes, FIRST_FRAME_BYTES, this.#frame.length * 2))
    const larger = Buffer.allocUnsafeSlow(room)
    this.#frame.copy(larger, 0, 0, this.#filled)
    this.#frame = larger
  }
}
