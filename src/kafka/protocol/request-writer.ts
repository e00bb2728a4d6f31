import { InvalidRequestError } from '../../core/errors.js'
import { writeInt64 } from '../record-batch-layout.js'

const FIRST_BYTES = 512
/** Byte fields up to this size are copied, which is cheaper than sending one more piece. */
const COPIED_BYTES = 4096
const UUID_BYTES = 16

/**
 * Writes one request, big-endian. Large byte fields are not copied. The `compact` methods, `unsignedVarint` and `noTags`
 * belong to flexible versions (KIP-482), the others to both or to the classic encoding.
 */
export class RequestWriter {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #end = 0
  /** Where the part of `#buffer` that is not among the pieces yet starts. */
  #start = 0
  readonly #pieces: Buffer[] = []
  #attachedBytes = 0

  /** Starts a request; the length is filled in at the end. */
  constructor(apiKey: number, apiVersion: number, correlationId: number, clientId: string, isFlexible = false) {
    this.int32(0)
    this.int16(apiKey)
    this.int16(apiVersion)
    this.int32(correlationId)
    // The client id stays in the classic encoding, so that a broker can read it whatever the version is.
    this.string(clientId)
    if (isFlexible) this.noTags()
  }

  boolean(value: boolean): void {
    this.int8(value ? 1 : 0)
  }

  int8(value: number): void {
    const at = this.#take(1)
    this.#buffer.writeInt8(value, at)
  }

  int16(value: number): void {
    const at = this.#take(2)
    this.#buffer.writeInt16BE(value, at)
  }

  int32(value: number): void {
    const at = this.#take(4)
    this.#buffer.writeInt32BE(value, at)
  }

  int64(value: number): void {
    const at = this.#take(8)
    writeInt64(this.#buffer, value, at)
  }

  /** @throws InvalidRequestError when it has more than 32,767 bytes */
  string(value: string): void {
    const length = Buffer.byteLength(value)
    if (length > 0x7fff)
      throw new InvalidRequestError(`a name or text of ${length} bytes is too long for Kafka (32767)`)
    const at = this.#take(2 + length)
    this.#buffer.writeInt16BE(length, at)
    this.#buffer.write(value, at + 2, length, 'utf8')
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1)
    else this.string(value)
  }

  array<T>(items: readonly T[], write: (item: T) => void): void {
    this.int32(items.length)
    for (const item of items) write(item)
  }

  unsignedVarint(value: number): void {
    let rest = value
    for (; rest > 0x7f; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80)
    this.#byte(rest)
  }

  compactString(value: string): void {
    const length = Buffer.byteLength(value)
    this.unsignedVarint(length + 1)
    const at = this.#take(length)
    this.#buffer.write(value, at, length, 'utf8')
  }

  /** `null` differs from empty. */
  compactNullableArray<T>(items: readonly T[] | null, write: (item: T) => void): void {
    this.unsignedVarint(items === null ? 0 : items.length + 1)
    for (const item of items ?? []) write(item)
  }

  /** @param text as Kafka prints it: 22 characters of base64url */
  uuid(text: string): void {
    const at = this.#take(UUID_BYTES)
    this.#buffer.fill(0, at, at + UUID_BYTES)
    this.#buffer.write(text, at, UUID_BYTES, 'base64url')
  }

  /** A UUID that names nothing. */
  zeroUuid(): void {
    const at = this.#take(UUID_BYTES)
    this.#buffer.fill(0, at, at + UUID_BYTES)
  }

  /** The end of a structure in a flexible version: no tagged fields. */
  noTags(): void {
    this.unsignedVarint(0)
  }

  /** A byte field with its length. It must not change until it has been sent. */
  bytes(value: Buffer): void {
    this.int32(value.length)
    if (value.length <= COPIED_BYTES) {
      const at = this.#take(value.length)
      this.#buffer.set(value, at)
      return
    }
    this.#pieces.push(this.#buffer.subarray(this.#start, this.#end), value)
    this.#start = this.#end
    this.#attachedBytes += value.length
  }

  /** The whole request, in pieces to be sent one after another. */
  finish(): readonly Buffer[] {
    const last = this.#buffer.subarray(this.#start, this.#end)
    const pieces = last.length > 0 ? [...this.#pieces, last] : this.#pieces
    pieces[0]!.writeInt32BE(this.#writtenBytes + this.#attachedBytes - 4, 0)
    return pieces
  }

  /** Bytes of all buffers, full ones included. */
  #writtenBytes = 0

  #byte(value: number): void {
    const at = this.#take(1)
    this.#buffer[at] = value
  }

  /** Reserves this many bytes and returns their position. A new buffer is used when the old one is full. */
  #take(bytes: number): number {
    this.#writtenBytes += bytes
    if (this.#end + bytes > this.#buffer.length) {
      if (this.#end > this.#start) this.#pieces.push(this.#buffer.subarray(this.#start, this.#end))
      this.#buffer = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, bytes))
      this.#start = this.#end = 0
    }
    const at = this.#end
    this.#end += bytes
    return at
  }
}
