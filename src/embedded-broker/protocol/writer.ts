/** Byte strings below this size are copied into the frame. Longer byte strings are sent without a copy. */
const COPY_BELOW_BYTES = 1024
const UUID_BYTES = 16

/**
 * Writes Kafka's primitives into one framed response. After `becomeFlexible` lengths are
 * varints and `structs` and `tags` write the (empty) tagged fields that end each struct.
 */
export class ProtocolWriter {
  #isFlexible = false
  #bytes: Buffer
  #start = 0
  #end = 0
  readonly #done: Buffer[] = []
  #doneBytes = 0

  constructor(sizeHint = 256) {
    this.#bytes = Buffer.allocUnsafe(sizeHint)
  }

  int8(value: number): this {
    const at = this.#reserve(1)
    this.#bytes.writeInt8(value, at)
    return this
  }

  boolean(value: boolean): this {
    return this.int8(value ? 1 : 0)
  }

  int16(value: number): this {
    const at = this.#reserve(2)
    this.#bytes.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#reserve(4)
    this.#bytes.writeInt32BE(value, at)
    return this
  }

  int64(value: number): this {
    const at = this.#reserve(8)
    this.#bytes.writeInt32BE(Math.floor(value / 4294967296), at)
    this.#bytes.writeUInt32BE(value - Math.floor(value / 4294967296) * 4294967296, at + 4)
    return this
  }

  /** From now on, writes the encoding of flexible versions. */
  becomeFlexible(): this {
    this.#isFlexible = true
    return this
  }

  string(value: string): this {
    return this.nullableString(value)
  }

  nullableString(value: string | null): this {
    if (value === null) return this.#isFlexible ? this.#unsignedVarint(0) : this.int16(-1)
    const length = Buffer.byteLength(value)
    if (this.#isFlexible) this.#unsignedVarint(length + 1)
    else this.int16(length)
    const at = this.#reserve(length)
    this.#bytes.write(value, at, length, 'utf8')
    return this
  }

  bytes(value: Buffer): this {
    return this.#count(value.length).raw(value)
  }

  nullableBytes(value: Buffer | null): this {
    return value ? this.bytes(value) : this.#count(-1)
  }

  /** Writes a UUID from the text that {@link ProtocolReader.uuid} returns. */
  uuid(text: string): this {
    const at = this.#reserve(UUID_BYTES)
    this.#bytes.write(text, at, UUID_BYTES, 'base64url')
    return this
  }

  array<Item>(items: Iterable<Item>, write: (item: Item) => void): this {
    const list = Array.isArray(items) ? (items as readonly Item[]) : [...items]
    this.#count(list.length)
    for (const item of list) write(item)
    return this
  }

  nullArray(): this {
    return this.#count(-1)
  }

  /** Writes an array whose items end with tagged fields in flexible versions. */
  structs<Item>(items: readonly Item[], write: (item: Item) => void): this {
    this.#count(items.length)
    for (const item of items) {
      write(item)
      this.tags()
    }
    return this
  }

  /** Ends a struct with an empty list of tagged fields. Writes nothing in classic versions. */
  tags(): this {
    return this.#isFlexible ? this.int8(0) : this
  }

  /** The number of bytes or items; -1: null. */
  #count(value: number): this {
    return this.#isFlexible ? this.#unsignedVarint(value + 1) : this.int32(value)
  }

  /**
   * Writes bytes without a length. Long byte strings are not copied, so the caller must not change them until the frame
   * is sent.
   */
  raw(value: Buffer): this {
    if (value.length < COPY_BELOW_BYTES) {
      const at = this.#reserve(value.length)
      value.copy(this.#bytes, at)
      return this
    }
    this.#seal()
    this.#done.push(value)
    this.#doneBytes += value.length
    return this
  }

  /** Returns the written bytes, in order. The writer must not be used afterwards. */
  finish(): Buffer[] {
    this.#seal()
    return this.#done
  }

  get sizeBytes(): number {
    return this.#doneBytes + this.#end - this.#start
  }

  #unsignedVarint(value: number): this {
    let left = value
    for (; left > 127; left >>>= 7) this.#byte((left & 127) | 128)
    this.#byte(left)
    return this
  }

  #byte(value: number): void {
    const at = this.#reserve(1)
    this.#bytes[at] = value
  }

  #seal(): void {
    if (this.#end === this.#start) return
    this.#done.push(this.#bytes.subarray(this.#start, this.#end))
    this.#doneBytes += this.#end - this.#start
    this.#start = this.#end
  }

  /**
   * Reserves `length` bytes and returns their position. A reallocation copies only the bytes that are not sealed yet.
   */
  #reserve(length: number): number {
    const at = this.#end
    if (at + length <= this.#bytes.length) {
      this.#end = at + length
      return at
    }
    const kept = at - this.#start
    const grown = Buffer.allocUnsafe(Math.max(kept * 2, kept + length, 256))
    this.#bytes.copy(grown, 0, this.#start, at)
    this.#bytes = grown
    this.#start = 0
    this.#end = kept + length
    return kept
  }
}
