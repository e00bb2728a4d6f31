const FIRST_BYTES = 1_024
const MAX_NUMBER_BYTES = 8

/** Writes numbers with seven bits per byte, the low ones first, one after the other into memory that grows. */
export class VarintWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
  #length = 0

  get length(): number {
    return this.#length
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
  }

  /** @param value a safe integer that is not negative */
  number(value: number): void {
    this.#reserve(MAX_NUMBER_BYTES)
    const bytes = this.#bytes
    while (value >= 0x80) {
      bytes[this.#length++] = (value % 0x80) | 0x80
      value = value < 0x8000_0000 ? value >> 7 : Math.floor(value / 0x80)
    }
    bytes[this.#length++] = value
  }

  signed(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value)
  }

  /** The length in bytes, then the text as UTF-8. */
  text(text: string): void {
    const sizeBytes = Buffer.byteLength(text)
    this.number(sizeBytes)
    this.#reserve(sizeBytes)
    this.#length += this.#bytes.write(text, this.#length)
  }

  /** Everything written since the last call, in memory of its own. */
  take(): Buffer {
    const taken = Buffer.allocUnsafeSlow(this.#length)
    this.#bytes.copy(taken, 0, 0, this.#length)
    this.#length = 0
    return taken
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#length + bytes))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Reads what {@link VarintWriter} wrote. Each method throws a RangeError when the bytes end, or a number is too large. */
export class VarintReader {
  readonly #bytes: Buffer
  offset: number

  constructor(bytes: Buffer, offset = 0) {
    this.#bytes = bytes
    this.offset = offset
  }

  get isAtEnd(): boolean {
    return this.offset >= this.#bytes.length
  }

  byte(): number {
    const byte = this.#bytes[this.offset++]
    if (byte === undefined) throw new RangeError('the bytes end inside a value')
    return byte
  }

  number(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < MAX_NUMBER_BYTES; count++, scale *= 0x80) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte >= 0x80) continue
      if (Number.isSafeInteger(value)) return value
      break
    }
    throw new RangeError('a number is too large')
  }

  signed(): number {
    const value = this.number()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  text(): string {
    const length = this.number()
    const end = this.offset + length
    if (end > this.#bytes.length) throw new RangeError('the bytes end inside a text')
    const text = this.#bytes.toString('utf8', this.offset, end)
    this.offset = end
    return text
  }
}
