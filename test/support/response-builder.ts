/** Builds the payload of a response, field by field, in Kafka's classic encoding or, with `compact…` and `tags`, the flexible one. */
export class ResponseBuilder {
  readonly #pieces: Buffer[] = []

  get payload(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  int8(value: number): this {
    const bytes = Buffer.alloc(1)
    bytes.writeInt8(value)
    return this.raw(bytes)
  }

  int16(value: number): this {
    const bytes = Buffer.alloc(2)
    bytes.writeInt16BE(value)
    return this.raw(bytes)
  }

  int32(value: number): this {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(value)
    return this.raw(bytes)
  }

  int64(value: number | bigint): this {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(BigInt(value))
    return this.raw(bytes)
  }

  string(value: string | null): this {
    return value === null ? this.int16(-1) : this.int16(Buffer.byteLength(value)).raw(Buffer.from(value))
  }

  bytes(value: Buffer | null): this {
    return value === null ? this.int32(-1) : this.int32(value.length).raw(value)
  }

  array<T>(items: readonly T[] | null, write: (item: T) => void): this {
    this.int32(items === null ? -1 : items.length)
    items?.forEach(write)
    return this
  }

  unsignedVarint(value: number): this {
    const bytes: number[] = []
    let rest = value
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
    return this.raw(Buffer.from([...bytes, rest]))
  }

  compactString(value: string | null): this {
    if (value === null) return this.unsignedVarint(0)
    return this.unsignedVarint(Buffer.byteLength(value) + 1).raw(Buffer.from(value))
  }

  compactBytes(value: Buffer | null): this {
    return value === null ? this.unsignedVarint(0) : this.unsignedVarint(value.length + 1).raw(value)
  }

  compactArray<T>(items: readonly T[] | null, write: (item: T) => void): this {
    this.unsignedVarint(items === null ? 0 : items.length + 1)
    items?.forEach(write)
    return this
  }

  /** Tagged fields: numbers and what stands under them. */
  tags(fields: Readonly<Record<number, Buffer>> = {}): this {
    const entries = Object.entries(fields)
    this.unsignedVarint(entries.length)
    for (const [tag, bytes] of entries) this.unsignedVarint(Number(tag)).unsignedVarint(bytes.length).raw(bytes)
    return this
  }

  raw(bytes: Buffer): this {
    this.#pieces.push(bytes)
    return this
  }
}
