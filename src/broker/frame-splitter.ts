/** Larger requests close the connection; Kafka's own default. */
const MAX_FRAME_BYTES = 100 * 1024 * 1024

/** Cuts a byte stream into frames: a 4-byte length, then that many bytes. Chunks are joined only when one is complete. */
export class FrameSplitter {
  #chunks: Buffer[] = []
  #buffered = 0
  /** Bytes, length included, that the frame begun needs; 4 while its length is not known. */
  #needed = 4

  /** Adds whole frames, without their length, to `frames`. False: the stream makes no sense. */
  push(chunk: Buffer, frames: Buffer[]): boolean {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#buffered < this.#needed) return true
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#buffered)
    while (bytes.length >= 4) {
      const length = bytes.readInt32BE(0)
      // The shortest request header: key, version, correlation id.
      if (length < 8 || length > MAX_FRAME_BYTES) return false
      this.#needed = 4 + length
      if (bytes.length < this.#needed) break
      frames.push(bytes.subarray(4, this.#needed))
      bytes = bytes.subarray(this.#needed)
      this.#needed = 4
    }
    this.#chunks = bytes.length > 0 ? [bytes] : []
    this.#buffered = bytes.length
    return true
  }
}
