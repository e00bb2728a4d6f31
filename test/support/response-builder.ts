/** Builds the payload of a response, field by field, in Kafka's classic encoding. */
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

  raw(bytes: Buffer): this {
    this.#pieces.push(bytes)
    return this
  }
}
