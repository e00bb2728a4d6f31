/** The records section of a batch is not what its header says. */
export class DamagedRecordsError extends Error {
  override readonly name = 'DamagedRecordsError'
}

/** Reads the parts of records one after another and never beyond `end`. One object per pass rather than per number. */
export class RecordCursor {
  at: number
  readonly #bytes: Buffer
  readonly #end: number

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes
    this.at = at
    this.#end = end
  }

  /** @throws DamagedRecordsError when it ends early or has more than 32 bits */
  varint(): number {
    const bytes = this.#bytes
    let at = this.at
    let raw = 0
    let shift = 0
    let byte: number
    do {
      if (at >= this.#end || shift > 28) throw new DamagedRecordsError('a number in a record is cut or too long')
      byte = bytes[at++]!
      raw |= (byte & 0x7f) << shift
      shift += 7
    } while (byte > 0x7f)
    this.at = at
    return (raw >>> 1) ^ -(raw & 1)
  }

  /** @throws DamagedRecordsError when it ends early or has more than 64 bits */
  varlong(): number {
    const first = this.at < this.#end ? this.#bytes[this.at]! : 0x80
    if (first <= 0x7f) {
      this.at++
      return (first >>> 1) ^ -(first & 1)
    }
    return this.#longVarlong()
  }

  #longVarlong(): number {
    let raw = 0n
    for (let shift = 0n; ; shift += 7n) {
      if (this.at >= this.#end || shift > 63n) throw new DamagedRecordsError('a number in a record is cut or too long')
      const byte = this.#bytes[this.at++]!
      raw |= BigInt(byte & 0x7f) << shift
      if (byte <= 0x7f) return Number((BigInt.asUintN(64, raw) >> 1n) ^ -(raw & 1n))
    }
  }

  /** @throws DamagedRecordsError when there are fewer bytes */
  skip(bytes: number): void {
    if (bytes < 0 || bytes > this.#end - this.at) throw new DamagedRecordsError('a record reaches beyond its end')
    this.at += bytes
  }

  /** Skips a key or value: its length, -1 for null, and its bytes. */
  skipBytes(): void {
    const length = this.varint()
    if (length !== -1) this.skip(length)
  }
}
