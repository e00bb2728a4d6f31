/** Larger requests close the connection; Kafka's own default. */
const MAX_FRAME_BYTES = 100 * 1024 * 1024
/** The shortest request header: key, version, correlation id. */
const SMALLEST_FRAME_BYTES = 8
const LENGTH_BYTES = 4
/**
 * So much is allocated on the word of a length; beyond it the buffer grows as bytes really arrive. Memory nobody has
 * written to costs no more than its addresses, and growing copies.
 */
const FIRST_FRAME_BYTES = 16 * 1024 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * Cuts a byte stream into frames: a 4-byte length, then that many bytes. A frame within one chunk is a view of it; one in
 * several is copied together as they come. Its buffer may be given back with {@link FrameSplitter.recycle}: fresh memory
 * for every large request made the garbage collector a third of the broker's work.
 */
export class FrameSplitter {
  /** Bytes of a length that came in pieces. */
  #lengthBytes: Buffer = NOTHING
  /** The frame begun, its bytes so far, and how many it needs; 0: none is. */
  #frame: Buffer = NOTHING
  #filled = 0
  #needed = 0
  #spare: Buffer = NOTHING

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
      if (length < SMALLEST_FRAME_BYTES || length > MAX_FRAME_BYTES) return false
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
    if (byteLength <= FIRST_FRAME_BYTES && byteLength > this.#spare.length) this.#spare = Buffer.from(frame.buffer)
  }

  #begin(length: number): void {
    this.#needed = length
    if (this.#spare.length < length) return
    this.#frame = this.#spare
    this.#spare = NOTHING
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
