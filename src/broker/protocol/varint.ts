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
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return Number((value >> 1n) ^ -(value & 1n))
    }
    throw new Error('varlong is too long')
  }

  nullableBytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.#position
    if (start + length > this.#bytes.length) throw new Error('byte string reaches beyond the batch')
    this.#position = start + length
    return this.#bytes.subarray(start, this.#position)
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
