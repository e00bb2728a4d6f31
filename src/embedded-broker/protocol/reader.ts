/** The bytes are not a valid request, so the connection is closed. */
export class MalformedRequest extends Error {
  override readonly name = 'MalformedRequest'
}

const TWO_TO_32 = 4294967296

/**
 * Reads Kafka's primitives one after another. Byte strings are views of the frame.
 *
 * Flexible versions have varints as lengths, and tagged fields at the end of every struct. After `becomeFlexible` the
 * same methods read this encoding. `structs` reads arrays whose items end with tagged fields, `array` reads arrays of
 * primitives.
 */
export class ProtocolReader {
  readonly #bytes: Buffer
  #position: number
  #isFlexible = false

  constructor(bytes: Buffer, position = 0) {
    this.#bytes = bytes
    this.#position = position
  }

  get position(): number {
    return this.#position
  }

  get remaining(): number {
    return this.#bytes.length - this.#position
  }

  int8(): number {
    return this.#bytes.readInt8(this.#take(1))
  }

  boolean(): boolean {
    return this.int8() !== 0
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#take(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  /**
   * Reads an i64, which is exact for safe integers. All offsets, timestamps and producer ids in this broker are safe
   * integers.
   */
  int64(): number {
    const at = this.#take(8)
    return this.#bytes.readInt32BE(at) * TWO_TO_32 + this.#bytes.readUInt32BE(at + 4)
  }

  /** From now on, reads the encoding of flexible versions. */
  becomeFlexible(): this {
    this.#isFlexible = true
    return this
  }

  string(): string {
    const text = this.nullableString()
    if (text === null) throw new MalformedRequest('null where a string is required')
    return text
  }

  nullableString(): string | null {
    const length = this.#isFlexible ? this.#unsignedVarint() - 1 : this.int16()
    if (length < 0) return null
    const at = this.#take(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  bytes(): Buffer {
    return this.nullableBytes() ?? Buffer.alloc(0)
  }

  nullableBytes(): Buffer | null {
    const length = this.#count()
    if (length < 0) return null
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** Reads a UUID of 16 bytes, and returns the text that Kafka prints. */
  uuid(): string {
    const at = this.#take(16)
    return this.#bytes.toString('base64url', at, at + 16)
  }

  array<Item>(read: () => Item): Item[] {
    return this.nullableArray(read) ?? []
  }

  nullableArray<Item>(read: () => Item): Item[] | null {
    const count = this.#count()
    if (count < 0) return null
    // Every item has at least one byte, so a larger count is wrong, and is refused before memory is allocated.
    if (count > this.remaining) throw new MalformedRequest(`array of ${count} items in ${this.remaining} bytes`)
    const items: Item[] = []
    for (let index = 0; index < count; index++) items.push(read())
    return items
  }

  structs<Item>(read: () => Item): Item[] {
    return this.nullableStructs(read) ?? []
  }

  nullableStructs<Item>(read: () => Item): Item[] | null {
    return this.nullableArray(() => {
      const item = read()
      this.tags()
      return item
    })
  }

  /**
   * Skips the tagged fields at the end of a struct, because this broker needs none of them. Classic versions have none.
   */
  tags(): void {
    if (!this.#isFlexible) return
    for (let count = this.#unsignedVarint(); count > 0; count--) {
      this.#unsignedVarint()
      this.#take(this.#unsignedVarint())
    }
  }

  /** The number of bytes or items; -1: null. */
  #count(): number {
    return this.#isFlexible ? this.#unsignedVarint() - 1 : this.int32()
  }

  #unsignedVarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#take(1)]!
      value |= (byte & 127) << shift
      if (byte < 128) return value >>> 0
    }
    throw new MalformedRequest('varint is too long')
  }

  #take(length: number): number {
    const at = this.#position
    if (at + length > this.#bytes.length) throw new MalformedRequest(`request ends at byte ${this.#bytes.length}`)
    this.#position = at + length
    return at
  }
}
