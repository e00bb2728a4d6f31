/** Larger requests close the connection; Kafka's own default. */
const MAX_FRAME_BYTES = 100 * 1024 * 1024
/** The shortest request header: key, version, correlation id. */
const SMALLEST_FRAME_BYTES = 8
const LENGTH_BYTES = 4
/** Where the buffer of a frame in several chunks starts; it grows as bytes really arrive, whatever the length claims. */
const FIRST_FRAME_BYTES = 1024 * 1024

/**
 * Cuts a byte stream into frames: a 4-byte length, then that many bytes. A frame within one chunk is a view of it; one in
 * several is copied together as they come, so that no chunk outlives its turn: kept until the last has come, they would
 * grow old and cost a full collection each time.
 */
export class FrameSplitter {
  /** Bytes of a length that came in pieces. */
  #lengthBytes: Buffer = Buffer.alloc(0)
  /** The frame begun, its bytes so far, and how many it needs; 0: none is. */
  #frame: Buffer = Buffer.alloc(0)
  #filled = 0
  #needed = 0

  /** Adds whole frames, without their length, to `frames`. False: the stream makes no sense. */
  push(chunk: Buffer, frames: Buffer[]): boolean {
    let at = this.#needed > 0 ? this.#fill(chunk, 0, frames) : 0
    if (this.#lengthBytes.length > 0 && at < chunk.length) {
      chunk = Buffer.concat([this.#lengthBytes, chunk.subarray(at)])
      this.#lengthBytes = Buffer.alloc(0)
      at = 0
    }
    while (chunk.length - at >= LENGTH_BYTES) {
      const length = chunk.readInt32BE(at)
      if (length < SMALLEST_FRAME_BYTES || length > MAX_FRAME_BYTES) return false
      at += LENGTH_BYTES
      if (chunk.length - at < length) {
        this.#needed = length
        this.#fill(chunk, at, frames)
        return true
      }
      frames.push(chunk.subarray(at, at + length))
      at += length
    }
    if (at < chunk.length) this.#lengthBytes = Buffer.from(chunk.subarray(at))
    return true
  }

  /** Takes what the frame begun needs. @returns where the rest of the chunk starts */
  #fill(chunk: Buffer, from: number, frames: Buffer[]): number {
    const taken = Math.min(chunk.length - from, this.#needed - this.#filled)
    if (this.#filled + taken > this.#frame.length) this.#grow(this.#filled + taken)
    chunk.copy(this.#frame, this.#filled, from, from + taken)
    this.#filled += taken
    if (this.#filled === this.#needed) {
      frames.push(this.#frame.subarray(0, this.#needed))
      this.#frame = Buffer.alloc(0)
      this.#filled = this.#needed = 0
    }
    return from + taken
  }

  #grow(bytes: number): void {
    const room = Math.min(this.#needed, Math.max(bytes, FIRST_FRAME_BYTES, this.#frame.length * 2))
    const larger = Buffer.allocUnsafeSlow(room)
    this.#frame.copy(larger, 0, 0, this.#filled)
    this.#frame = larger
  }
}
