/** A varlong has at most ten bytes. */
const LARGEST_VARLONG_FACTOR = 128 ** 9

/** Reads the zigzag varints and length-prefixed byte strings records are made of. */
export class VarintReader {
  readonly #bytes: Buffer
  #position = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get position(): number {
    return this.#position
  }

  skip(length: number): void {
    this.#position += length
  }

  varint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte()
      value |= (byte & 127) << shift
      if (byte < 128) return (value >>> 1) ^ -(value & 1)
    }
    throw new Error('varint is too long')
  }

  varlong(): number {
    const first = this.#byte()
    let value = first & 127
    let byte = first
    for (let factor = 128; byte >= 128; factor *= 128) {
      if (factor > LARGEST_VARLONG_FACTOR) throw new Error('varlong is too long')
      byte = this.#byte()
      value += (byte & 127) * factor
    }
    // Zigzag: the lowest bit is the sign, read apart because large values are rounded.
    return first & 1 ? -Math.floor(value / 2) - 1 : Math.floor(value / 2)
  }

  nullableBytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.#position
    if (start + length > this.#bytes.length) throw new Error('byte string reaches beyond the batch')
    this.#position = start + length
    return this.#bytes.subarray(start, this.#position)
  }

  /** As `nullableBytes`, without making anything. False: null. */
  skipNullableBytes(): boolean {
    const length = this.varint()
    if (length < 0) return false
    if (this.#position + length > this.#bytes.length) throw new Error('byte string reaches beyond the batch')
    this.#position += length
    return true
  }

  slice(start: number, end: number): Buffer {
    return this.#bytes.subarray(start, end)
  }

  #byte(): number {
    const byte = this.#bytes[this.#position++]
    if (byte === undefined) throw new Error('records end too early')
    return byte
  }
}
