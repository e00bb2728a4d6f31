import { ProtocolError } from '../../errors.js'

const TWO_POW_32 = 0x100000000

/** Reads a response in Kafka's classic encoding; every step checks that the bytes are there. */
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

  /** @throws ProtocolError when it is no safe integer: beyond 2^53 */
  int64(): number {
    const at = this.#pass(8)
    const value = this.#bytes.readInt32BE(at) * TWO_POW_32 + this.#bytes.readUInt32BE(at + 4)
    if (!Number.isSafeInteger(value)) throw new ProtocolError(`a response has a number of ${value}`)
    return value
  }

  bigInt64(): bigint {
    return this.#bytes.readBigInt64BE(this.#pass(8))
  }

  string(): string {
    const value = this.nullableString()
    if (value === null) throw new ProtocolError('a response lacks a text')
    return value
  }

  nullableString(): string | null {
    const length = this.int16()
    if (length === -1) return null
    const at = this.#pass(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  /** A view; `null` becomes empty. */
  bytes(): Buffer {
    const length = this.int32()
    if (length === -1) return this.#bytes.subarray(0, 0)
    const at = this.#pass(length)
    return this.#bytes.subarray(at, at + length)
  }

  /**
   * An array; `null` becomes empty.
   *
   * @param smallestItemBytes bounds the count by what is left, before anything is allocated
   */
  array<T>(smallestItemBytes: number, read: () => T): T[] {
    const count = this.int32()
    if (count < -1 || count * smallestItemBytes > this.remainingBytes) {
      throw new ProtocolError(`a response has ${count} items in ${this.remainingBytes} bytes`)
    }
    const items: T[] = []
    for (let index = 0; index < count; index++) items.push(read())
    return items
  }

  /** @throws ProtocolError when something is left */
  end(): void {
    if (this.remainingBytes > 0) throw new ProtocolError(`a response has ${this.remainingBytes} bytes too many`)
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
