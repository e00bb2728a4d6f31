import { FramePool } from './frame-pool.js'
import { embeddedLimits } from './settings.js'

/** The shortest request header: key, version, correlation id. */
const SMALLEST_FRAME_BYTES = 8
const LENGTH_BYTES = 4
/** Most bytes that are allocated because of an announced length; beyond it the buffer doubles as bytes arrive. */
const FIRST_FRAME_BYTES = 1024 * 1024
/** Larger buffers are not reused. */
const LARGEST_SPARE_BYTES = 16 * 1024 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * Cuts a byte stream into frames: a 4-byte length, then that many bytes. A frame within one chunk is a view of it; one
 * in several chunks is copied together as they arrive. Its buffer can be returned with {@link FrameSplitter.recycle}.
 */
export class FrameSplitter {
  /** The bytes of a length that is incomplete. */
  #lengthBytes: Buffer = NOTHING
  /** The incomplete frame, its bytes so far, and its length; 0: there is none. */
  #frame: Buffer = NOTHING
  #filled = 0
  #needed = 0
  readonly #pool: FramePool
  readonly #maxFrameBytes: number

  constructor(pool = new FramePool(), maxFrameBytes = embeddedLimits.maxRequestBytes) {
    this.#pool = pool
    this.#maxFrameBytes = maxFrameBytes
  }

  /** Bytes of the incomplete frame. */
  get heldBytes(): number {
    return this.#filled + this.#lengthBytes.length
  }

  /** Discards the incomplete frame. */
  clear(): void {
    this.#frame = this.#lengthBytes = NOTHING
    this.#filled = this.#needed = 0
  }

  /** Adds complete frames, without their length, to `frames`. False: the stream is invalid. */
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

  /** The frame is not used any more: its buffer may hold the next large one. */
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

  /** Takes the bytes that the incomplete frame needs. @returns where the rest of the chunk starts */
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
