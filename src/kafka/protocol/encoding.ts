import { InvalidRequestError, ProtocolError } from '../../core/errors.js'
import { byteLengthOf, readInt64, writeInt64, writeString } from '../record-batch-layout.js'

const FIRST_BYTES = 512
/** Larger buffers are not used again, so that an idle connection does not keep them. */
const MOST_KEPT_BYTES = 4 * 1024 * 1024
/** Byte fields up to this size are copied, because a copy is cheaper than one more piece to send. */
const COPIED_BYTES = 4096
const UUID_BYTES = 16

/** Writes one request, big-endian. Large byte fields are not copied. */
export class RequestWriter {
  #buffer: Buffer
  #end = 0
  /** Start of the part of `#buffer` that is not among the pieces yet. */
  #start = 0
  readonly #pieces: Buffer[] = []
  readonly #isFlexible: boolean
  #attachedBytes = 0
  /** Bytes of the request so far, in all buffers. */
  #writtenBytes = 0

  /**
   * Starts a request; the length is filled in at the end.
   *
   * @param isFlexible the request has the compact encoding and the tagged fields of KIP-482
   * @param memory the {@link memory} of a former request that was answered; absent: fresh memory
   */
  constructor(
    apiKey: number,
    apiVersion: number,
    correlationId: number,
    clientId: string,
    isFlexible = false,
    memory: Buffer = Buffer.allocUnsafe(FIRST_BYTES)
  ) {
    this.#buffer = memory
    this.int32(0)
    this.int16(apiKey)
    this.int16(apiVersion)
    this.int32(correlationId)
    // The client id is always in the classic encoding, so that brokers can read it in versions that they do not know.
    this.#classicString(clientId)
    this.#isFlexible = isFlexible
    this.tags()
  }

  /** For another request when this one was answered: fresh memory costs a page fault per 4 KiB, more than small batches. */
  get memory(): Buffer | undefined {
    return this.#buffer.length <= MOST_KEPT_BYTES ? this.#buffer : undefined
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

  /** @throws InvalidRequestError when the text has more than 32,767 bytes in the classic encoding */
  string(value: string): void {
    if (!this.#isFlexible) {
      this.#classicString(value)
      return
    }
    const length = byteLengthOf(value)
    this.#unsignedVarint(length + 1)
    const at = this.#take(length)
    writeString(this.#buffer, value, length, at)
  }

  #classicString(value: string): void {
    const length = byteLengthOf(value)
    if (length > 0x7fff)
      throw new InvalidRequestError(`a name or text of ${length} bytes is too long for Kafka (32767)`)
    const at = this.#take(2 + length)
    this.#buffer.writeInt16BE(length, at)
    writeString(this.#buffer, value, length, at + 2)
  }

  nullableString(value: string | null): void {
    if (value !== null) this.string(value)
    else if (this.#isFlexible) this.#unsignedVarint(0)
    else this.int16(-1)
  }

  array<T>(items: readonly T[], write: (item: T) => void): void {
    this.#length(items.length)
    for (const item of items) write(item)
  }

  nullableArray<T>(items: readonly T[] | null, write: (item: T) => void): void {
    if (items === null) this.#length(-1)
    else this.array(items, write)
  }

  /** Writes `[topic, [partition …]]`; `write` writes the fields of one partition. */
  byTopic<T extends { readonly topic: string }>(partitions: readonly T[], write: (partition: T) => void): void {
    if (isEachOfAnotherTopic(partitions)) {
      this.#length(partitions.length)
      for (const partition of partitions) {
        this.string(partition.topic)
        this.#length(1)
        write(partition)
      }
      return
    }
    const topics = mapByTopic(partitions)
    this.#length(topics.size)
    for (const [topic, ofTopic] of topics) {
      this.string(topic)
      this.array(ofTopic, write)
    }
  }

  /** @param text as Kafka prints it: 22 characters of base64url */
  uuid(text: string): void {
    const at = this.#take(UUID_BYTES)
    this.#buffer.fill(0, at, at + UUID_BYTES)
    this.#buffer.write(text, at, UUID_BYTES, 'base64url')
  }

  /** Ends a structure with an empty list of tagged fields. Writes nothing in versions that are not flexible. */
  tags(): void {
    if (this.#isFlexible) this.#unsignedVarint(0)
  }

  /** Writes a byte field with its length. The bytes must not change until they are sent. */
  bytes(value: Buffer): void {
    this.#length(value.length)
    if (value.length <= COPIED_BYTES) {
      const at = this.#take(value.length)
      this.#buffer.set(value, at)
      return
    }
    this.#pieces.push(this.#buffer.subarray(this.#start, this.#end), value)
    this.#start = this.#end
    this.#attachedBytes += value.length
  }

  /** Returns the whole request in pieces, which are sent one after another. */
  finish(): readonly Buffer[] {
    const last = this.#buffer.subarray(this.#start, this.#end)
    const pieces = last.length > 0 ? [...this.#pieces, last] : this.#pieces
    pieces[0]!.writeInt32BE(this.#writtenBytes + this.#attachedBytes - 4, 0)
    return pieces
  }

  /** The length of bytes or of an array; -1: null. */
  #length(length: number): void {
    if (this.#isFlexible) this.#unsignedVarint(length + 1)
    else this.int32(length)
  }

  #unsignedVarint(value: number): void {
    let rest = value
    for (; rest > 0x7f; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80)
    this.#byte(rest)
  }

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

/** The partitions of each topic together, topics in order of their first mention. */
export const byTopic = <T extends { readonly topic: string }>(items: readonly T[]): [topic: string, items: T[]][] => [
  ...mapByTopic(items)
]

/** Then no lists are needed to bring the partitions of a topic together. */
function isEachOfAnotherTopic(items: readonly { readonly topic: string }[]): boolean {
  const topics = new Set<string>()
  for (const { topic } of items) if (topics.size === topics.add(topic).size) return false
  return true
}

function mapByTopic<T extends { readonly topic: string }>(items: readonly T[]): Map<string, T[]> {
  const topics = new Map<string, T[]>()
  for (const item of items) {
    const of = topics.get(item.topic)
    if (of !== undefined) of.push(item)
    else topics.set(item.topic, [item])
  }
  return topics
}

const VARINT_BITS = 35
const MAX_ASCII = 0x7f
const NAME_LENGTH_BYTES = 2
const SHORT_LIST = 16
/** Means that there is no UUID. */
export const ZERO_UUID = 'A'.repeat(22)
/** Bytes of the two lengths of a topic: the length of its name, and the number of its partitions. */
const SMALLEST_TOPIC_BYTES = 6

/** Reads a response. Every method checks that enough bytes are left. */
export class ResponseReader {
  readonly #bytes: Buffer
  readonly #isFlexible: boolean
  #at = 0

  /** @param isFlexible the response has the compact encoding and the tagged fields of KIP-482 */
  constructor(bytes: Buffer, isFlexible = false) {
    this.#bytes = bytes
    this.#isFlexible = isFlexible
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
   * Reads an i64; `undefined` when the value is not a safe integer. Used for fields of a partition, because an error
   * here fails all partitions of the response, and a wrong value only concerns one of them.
   */
  safeInt64(): number | undefined {
    const value = this.roundedInt64()
    return Number.isSafeInteger(value) ? value : undefined
  }

  /** Reads an i64, rounded beyond 2^53. This is exact enough for times. */
  roundedInt64(): number {
    const at = this.#pass(8)
    return readInt64(this.#bytes, at)
  }

  bigInt64(): bigint {
    return this.#bytes.readBigInt64BE(this.#pass(8))
  }

  string(): string {
    const value = this.nullableString()
    if (value === null) throw new ProtocolError('a response lacks a text')
    return value
  }

  /** A view of the bytes of a string that cannot be null, in the classic encoding. */
  bytesOfString(): Buffer {
    const length = this.int16()
    const at = this.#pass(length)
    return this.#bytes.subarray(at, at + length)
  }

  skip(bytes: number): void {
    this.#pass(bytes)
  }

  /** Reads a text. Null becomes the empty string, although brokers should not send null here. */
  name(): string {
    return this.nullableString() ?? ''
  }

  /** Passes the name if it is the expected one, in ASCII and in the classic encoding. @returns that name */
  #passName(expected: string | undefined): string | undefined {
    if (expected === undefined || this.#isFlexible) return undefined
    const bytes = this.#bytes
    const from = this.#at + NAME_LENGTH_BYTES
    const end = from + expected.length
    if (end > bytes.length || bytes.readInt16BE(this.#at) !== expected.length) return undefined
    for (let at = 0; at < expected.length; at++) {
      const byte = bytes[from + at]!
      if (byte > MAX_ASCII || byte !== expected.charCodeAt(at)) return undefined
    }
    this.#at = end
    return expected
  }

  nullableString(): string | null {
    const length = this.#isFlexible ? this.unsignedVarint() - 1 : this.int16()
    if (length === -1) return null
    const at = this.#pass(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  /** @throws ProtocolError when the number has more than 32 bits */
  unsignedVarint(): number {
    let value = 0
    for (let shift = 0; shift < VARINT_BITS; shift += 7) {
      const byte = this.#bytes[this.#pass(1)]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new ProtocolError('a response has a length of more than 32 bits')
  }

  /** Reads a UUID as Kafka prints it, 22 characters of base64url. The UUID of zeroes becomes `undefined`. */
  uuid(): string | undefined {
    const at = this.#pass(UUID_BYTES)
    const text = this.#bytes.toString('base64url', at, at + UUID_BYTES)
    return text === ZERO_UUID ? undefined : text
  }

  /** Ends a structure: skips the tagged fields of newer brokers. Does nothing in versions that are not flexible. */
  tags(): void {
    if (!this.#isFlexible) return
    for (let left = this.unsignedVarint(); left > 0; left--) {
      this.unsignedVarint()
      this.#pass(this.unsignedVarint())
    }
  }

  /** Returns a view of a byte field. `null` becomes empty. */
  bytes(): Buffer {
    const length = this.#length()
    if (length === -1) return this.#bytes.subarray(0, 0)
    const at = this.#pass(length)
    return this.#bytes.subarray(at, at + length)
  }

  /**
   * Reads an array. `null` becomes empty.
   *
   * @param smallestItemBytes smallest size of an item; a count that does not fit into the remaining bytes is refused
   *   before memory is allocated
   * @param check called with the count before the items are read; throws when it is too high
   */
  array<T>(smallestItemBytes: number, read: () => T, check?: (count: number) => void): T[] {
    const count = this.#count(smallestItemBytes, check)
    // Short lists get their exact size, because `push` reserves memory for 17 items, and most lists have one item or
    // none.
    const items: T[] = count <= SHORT_LIST ? new Array(Math.max(0, count)) : []
    for (let index = 0; index < count; index++) items[index] = read()
    return items
  }

  #count(smallestItemBytes: number, check?: (count: number) => void): number {
    const count = this.#length()
    if (count < -1 || count * smallestItemBytes > this.remainingBytes) {
      throw new ProtocolError(`a response has ${count} items in ${this.remainingBytes} bytes`)
    }
    check?.(count)
    return count
  }

  /**
   * Reads `[topic, [partition …]]` into one list; `read` reads the fields of one partition.
   *
   * @param check called with the number of partitions of each topic before they are read; throws when there are too
   * many
   * @param expected the topic that the partition at this place of the list may have. A name that is expected becomes
   *   that string, which costs less than a new one.
   */
  byTopic<T>(
    smallestPartitionBytes: number,
    read: (topic: string) => T,
    check?: (count: number) => void,
    expected?: (at: number) => string | undefined
  ): T[] {
    const partitions: T[] = []
    for (let topics = this.#count(SMALLEST_TOPIC_BYTES); topics > 0; topics--) {
      const topic = this.#passName(expected?.(partitions.length)) ?? this.name()
      for (let left = this.#count(smallestPartitionBytes, check); left > 0; left--) partitions.push(read(topic))
    }
    return partitions
  }

  /** @throws ProtocolError when bytes are left */
  end(): void {
    if (this.remainingBytes > 0) throw new ProtocolError(`a response has ${this.remainingBytes} bytes too many`)
  }

  /** The length of bytes or of an array; -1: null. */
  #length(): number {
    return this.#isFlexible ? this.unsignedVarint() - 1 : this.int32()
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
