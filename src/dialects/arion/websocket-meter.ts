const LONG = 126
const VERY_LONG = 127
const MASK_BYTES = 4
/** Beyond it the connection is closed by the length alone. */
const MAX_HEAD_BYTES = 14

/**
 * Counts what a websocket keeps of the bytes that have come: the fragments of a message whose end has not come, and of a
 * control frame what there is of it. It follows the lengths of the frames of a client, which are masked, and looks at
 * nothing else.
 */
export class WebsocketMeter {
  #fragmentBytes = 0
  readonly #head = Buffer.alloc(MAX_HEAD_BYTES)
  #headLength = 0
  /** Of the frame whose payload is coming. */
  #payloadBytes = 0
  #missingBytes = 0

  /** What is kept now. */
  get keptBytes(): number {
    return this.#fragmentBytes + this.#headLength + this.#payloadBytes - this.#missingBytes
  }

  add(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#missingBytes > 0) at += this.#addPayload(chunk.length - at)
      else this.#addHead(chunk[at++]!)
    }
  }

  #addPayload(availableBytes: number): number {
    const sizeBytes = Math.min(this.#missingBytes, availableBytes)
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
    const first = this.#head[0]!
    const isControl = (first & 0x08) !== 0
    const isLast = (first & 0x80) !== 0
    if (!isControl) this.#fragmentBytes = isLast ? 0 : this.#fragmentBytes + this.#payloadBytes
    this.#headLength = this.#payloadBytes = 0
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
