const LONG = 126
const VERY_LONG = 127
const MASK_BYTES = 4
/** `ws` closes a connection whose frame announces a longer head. */
const MAX_HEAD_BYTES = 14
const CONTINUATION = 0
/** Memory of a fragment beside its bytes. */
const FRAGMENT_BYTES = 256

/**
 * Counts the memory that a websocket keeps for received bytes: the incomplete frame, and the fragments of an incomplete
 * message. A fragment is a view of its chunk, and keeps the whole chunk: a byte between control frames costs as much as
 * they do. It reads only the lengths of a client's frames, which are masked.
 */
export class WebsocketMeter {
  #fragments = 0
  /** Bytes of all chunks that those fragments are views of. */
  #chunkBytes = 0
  /** The current chunk contains bytes of a fragment. */
  #isChunkKept = false
  readonly #head = Buffer.alloc(MAX_HEAD_BYTES)
  #headLength = 0
  /** Payload of the frame that is arriving. */
  #payloadBytes = 0
  #missingBytes = 0

  /** Memory that the websocket keeps now. */
  get keptBytes(): number {
    const frameBytes = this.#isFragment ? 0 : this.#payloadBytes - this.#missingBytes
    return this.#chunkBytes + this.#fragments * FRAGMENT_BYTES + this.#headLength + frameBytes
  }

  add(chunk: Buffer): void {
    this.#isChunkKept = false
    for (let at = 0; at < chunk.length; ) {
      if (this.#missingBytes > 0) at += this.#addPayload(chunk.length - at)
      else this.#addHead(chunk[at++]!)
    }
    if (this.#isChunkKept) this.#chunkBytes += chunk.length
  }

  #addPayload(availableBytes: number): number {
    const sizeBytes = Math.min(this.#missingBytes, availableBytes)
    this.#isChunkKept ||= this.#isFragment
    this.#missingBytes -= sizeBytes
    if (this.#missingBytes === 0) this.#endFrame()
    return sizeBytes
  }

  #addHead(byte: number): void {
    this.#head[this.#headLength++] = byte
    if (this.#headLength < 2 || this.#headLength < headBytesOf(this.#head)) return
    this.#payloadBytes = this.#missingBytes = payloadBytesOf(this.#head)
    if (this.#missingBytes === 0) this.#endFrame()
  }

  #endFrame(): void {
    if (!this.#isControl) {
      if (this.#isLast) this.#endMessage()
      else this.#fragments++
    }
    this.#headLength = this.#payloadBytes = 0
  }

  #endMessage(): void {
    this.#fragments = this.#chunkBytes = 0
    this.#isChunkKept = false
  }

  get #isControl(): boolean {
    return (this.#head[0]! & 0x08) !== 0
  }

  get #isLast(): boolean {
    return (this.#head[0]! & 0x80) !== 0
  }

  /** The frame whose head has come is one of several of its message. */
  get #isFragment(): boolean {
    return this.#missingBytes > 0 && !this.#isControl && (!this.#isLast || (this.#head[0]! & 0x0f) === CONTINUATION)
  }
}

const lengthOf = (head: Buffer): number => head[1]! & 0x7f

function headBytesOf(head: Buffer): number {
  const length = lengthOf(head)
  return 2 + (length === LONG ? 2 : length === VERY_LONG ? 8 : 0) + MASK_BYTES
}

function payloadBytesOf(head: Buffer): number {
  const length = lengthOf(head)
  if (length === LONG) return head.readUInt16BE(2)
  return length === VERY_LONG ? Number(head.readBigUInt64BE(2)) : length
}
