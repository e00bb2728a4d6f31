/** Byte strings below this are copied into the frame; longer ones leave as they are. */
const COPY_BELOW_BYTES = 1024

/** Writes Kafka's primitives into one framed response; the `compact` ones are those of flexible versions. */
export class ProtocolWriter {
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

  string(value: string): this {
    return this.nullableString(value)
  }

  nullableString(value: string | null): this {
    if (value === null) return this.int16(-1)
    const length = Buffer.byteLength(value)
    this.int16(length)
    const at = this.#reserve(length)
    this.#bytes.write(value, at, length, 'utf8')
    return this
  }

  bytes(value: Buffer): this {
    return this.int32(value.length).raw(value)
  }

  nullableBytes(value: Buffer | null): this {
    return value ? this.bytes(value) : this.int32(-1)
  }

  array<Item>(items: Iterable<Item>, write: (item: Item) => void): this {
    const list = Array.isArray(items) ? (items as readonly Item[]) : [...items]
    this.int32(list.length)
    for (const item of list) write(item)
    return this
  }

  compactString(value: string): this {
    const length = Buffer.byteLength(value)
    this.#unsignedVarint(length + 1)
    const at = this.#reserve(length)
    this.#bytes.write(value, at, length, 'utf8')
    return this
  }

  compactArray<Item>(items: readonly Item[], write: (item: Item) => void): this {
    this.#unsignedVarint(items.length + 1)
    for (const item of items) write(item)
    return this
  }

  noTags(): this {
    return this.int8(0)
  }

  /** Without a length. Long ones are not copied: the caller leaves them alone until the frame is sent. */
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

  /** The written bytes, in order. The writer is not used afterwards. */
  finish(): Buffer[] {
    this.#seal()
    return this.#done
  }

  get sizeBytes(): number {
    return this.#doneBytes + this.#end - this.#start
  }

  #unsignedVarint(value: number): void {
    let left = value
    for (; left > 127; left >>>= 7) this.#byte((left & 127) | 128)
    this.#byte(left)
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

  /** Room for `length` bytes; a reallocation carries only what is not sealed yet. */
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
