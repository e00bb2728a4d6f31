import { ProtocolError } from '../../core/errors.js'

const TWO_POW_32 = 0x100000000
const VARINT_BITS = 35
const UUID_BYTES = 16
const ZERO_UUID = 'A'.repeat(22)

/**
 * Reads a response; every step checks that the bytes are there. The `compact` methods, `unsignedVarint` and `skipTags`
 * belong to flexible versions (KIP-482), the others to both or to the classic encoding.
 */
export class ResponseReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get remainingBytes(): number {
    return this.#bytes.length - this.#at
  }

  boolean(): boolean {
    return this.int8() !== 0
  }

  int8(): number {
    return this.#bytes.readInt8(this.#pass(1))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#pass(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#pass(4))
  }

  /**
   * `undefined` when it is no safe integer. For fields of one partition: a wrong value only concerns that partition, while an
   * error would fail all partitions of the response.
   */
  safeInt64(): number | undefined {
    const value = this.roundedInt64()
    return Number.isSafeInteger(value) ? value : undefined
  }

  /** Beyond 2^53 the nearest number, which is enough for times. */
  roundedInt64(): number {
    const at = this.#pass(8)
    return this.#bytes.readInt32BE(at) * TWO_POW_32 + this.#bytes.readUInt32BE(at + 4)
  }

  bigInt64(): bigint {
    return this.#bytes.readBigInt64BE(this.#pass(8))
  }

  string(): string {
    const value = this.nullableString()
    if (value === null) throw new ProtocolError('a response lacks a text')
    return value
  }

  /** A view of the bytes of a text that is not null. */
  bytesOfString(): Buffer {
    const length = this.int16()
    const at = this.#pass(length)
    return this.#bytes.subarray(at, at + length)
  }

  skip(bytes: number): void {
    this.#pass(bytes)
  }

  /** A name in a list. Null, which brokers should not send, is read as the empty string. */
  name(): string {
    return this.nullableString() ?? ''
  }

  nullableString(): string | null {
    const length = this.int16()
    return length === -1 ? null : this.#text(length)
  }

  compactString(): string {
    const value = this.compactNullableString()
    if (value === null) throw new ProtocolError('a response lacks a text')
    return value
  }

  compactNullableString(): string | null {
    const length = this.unsignedVarint() - 1
    return length === -1 ? null : this.#text(length)
  }

  /** @throws ProtocolError when it is larger than 32 bits */
  unsignedVarint(): number {
    let value = 0
    for (let shift = 0; shift < VARINT_BITS; shift += 7) {
      const byte = this.#bytes[this.#pass(1)]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new ProtocolError('a response has a length of more than 32 bits')
  }

  /** In Kafka's own text form, 22 characters of base64url; `undefined` for the one of zeroes, which names nothing. */
  uuid(): string | undefined {
    const at = this.#pass(UUID_BYTES)
    const text = this.#bytes.toString('base64url', at, at + UUID_BYTES)
    return text === ZERO_UUID ? undefined : text
  }

  /** The end of a structure in a flexible version: fields that newer brokers may have added. */
  skipTags(): void {
    for (let left = this.unsignedVarint(); left > 0; left--) {
      this.unsignedVarint()
      this.#pass(this.unsignedVarint())
    }
  }

  /** A view; `null` becomes empty. */
  bytes(): Buffer {
    const length = this.int32()
    if (length === -1) return this.#bytes.subarray(0, 0)
    const at = this.#pass(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** The same in a flexible version. */
  compactBytes(): Buffer {
    const length = this.unsignedVarint() - 1
    if (length === -1) return this.#bytes.subarray(0, 0)
    const at = this.#pass(length)
    return this.#bytes.subarray(at, at + length)
  }

  /**
   * An array; `null` becomes empty.
   *
   * @param smallestItemBytes bounds the count by what is left, before anything is allocated
   * @param check told the count beforehand; throws when it is too high
   */
  array<T>(smallestItemBytes: number, read: () => T, check?: (count: number) => void): T[] {
    return this.#items(this.int32(), smallestItemBytes, read, check)
  }

  /** The same in a flexible version. */
  compactArray<T>(smallestItemBytes: number, read: () => T, check?: (count: number) => void): T[] {
    return this.#items(this.unsignedVarint() - 1, smallestItemBytes, read, check)
  }

  #items<T>(count: number, smallestItemBytes: number, read: () => T, check?: (count: number) => void): T[] {
    if (count < -1 || count * smallestItemBytes > this.remainingBytes) {
      throw new ProtocolError(`a response has ${count} items in ${this.remainingBytes} bytes`)
    }
    check?.(count)
    const items: T[] = []
    for (let index = 0; index < count; index++) items.push(read())
    return items
  }

  /** @throws ProtocolError when something is left */
  end(): void {
    if (this.remainingBytes > 0) throw new ProtocolError(`a response has ${this.remainingBytes} bytes too many`)
  }

  #text(length: number): string {
    const at = this.#pass(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  #pass(bytes: number): number {
    const at = this.#at
    if (bytes < 0 || bytes > this.#bytes.length - at) {
      throw new ProtocolError(`a response ends ${bytes < 0 ? 'before it starts' : 'early'}`)
    }
    this.#at = at + bytes
    return at
  }
}
