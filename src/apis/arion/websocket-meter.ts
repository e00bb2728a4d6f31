const LONG = 126
const VERY_LONG = 127
const MASK_BYTES = 4
/** Beyond it the connection is closed by the length alone. */
const MAX_HEAD_BYTES = 14
const CONTINUATION = 0
/** What is kept for a fragment beside its bytes. */
const FRAGMENT_BYTES = 256

/**
 * Counts the memory that a websocket keeps of the bytes that have come: what there is of a frame in the making, and the
 * fragments of a message whose end has not come. A fragment is a view of the chunk that it came in, and keeps all of it:
 * one byte between control frames costs as much as they do. It follows the lengths of the frames of a client, which are
 * masked, and looks at nothing else.
 */
export class WebsocketMeter {
  #fragments = 0
  /** Of chunks with bytes of those fragments. */
  #chunkBytes = 0
  /** The present chunk has such bytes. */
  #isChunkKept = false
  readonly #head = Buffer.alloc(MAX_HEAD_BYTES)
  #headLength = 0
  /** Of the frame whose payload is coming. */
  #payloadBytes = 0
  #missingBytes = 0

  /** What is kept now. */
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
