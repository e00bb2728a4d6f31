import { InvalidRequestError, ProtocolError, ResponseTooLargeError } from '../../core/errors.js'
import { groupBy } from '../../core/maps.js'
import type { TopicPartition } from '../../core/model.js'
import { byteLengthOf, readInt64, writeInt32, writeInt64, writeString } from '../record-batch-layout.js'

const FIRST_BYTES = 512
/** Larger buffers are not used again, so that an idle connection does not keep them. Buffers do not double beyond it. */
const MOST_KEPT_BYTES = 4 * 1024 * 1024
/** Byte fields up to this size are copied, because a copy is cheaper than one more piece to send. */
const COPIED_BYTES = 4096
const UUID_BYTES = 16
const MOST_CLASSIC_BYTES = 0x7fff

/**
 * Writes values of Kafka's protocol, big-endian. Large byte fields are not copied, so they must not change until they are sent.
 */
export class ProtocolWriter {
  #buffer: Buffer
  #end = 0
  /** Start of the part of `#buffer` that is not among the pieces yet. */
  #start = 0
  readonly #pieces: Buffer[] = []
  #isFlexible = false
  #sizeBytes = 0

  /** @param memory the {@link memory} of a former writer whose bytes were sent; absent: fresh memory */
  constructor(memory: Buffer = Buffer.allocUnsafe(FIRST_BYTES)) {
    this.#buffer = memory
  }

  /** From now on, writes the compact encoding and the tagged fields of KIP-482. */
  becomeFlexible(): this {
    this.#isFlexible = true
    return this
  }

  /** For another writer when these bytes were sent: fresh memory costs a page fault per 4 KiB, more than small batches. */
  get memory(): Buffer | undefined {
    return this.#buffer.length <= MOST_KEPT_BYTES ? this.#buffer : undefined
  }

  /** The bytes so far, in all pieces. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  boolean(value: boolean): this {
    return this.int8(value ? 1 : 0)
  }

  int8(value: number): this {
    const at = this.#take(1)
    this.#buffer.writeInt8(value, at)
    return this
  }

  int16(value: number): this {
    const at = this.#take(2)
    this.#buffer.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#take(4)
    this.#buffer.writeInt32BE(value, at)
    return this
  }

  int64(value: number): this {
    const at = this.#take(8)
    writeInt64(this.#buffer, value, at)
    return this
  }

  /** @throws InvalidRequestError when the text has more than 32,767 bytes in the classic encoding */
  string(value: string): this {
    const length = byteLengthOf(value)
    if (this.#isFlexible) this.#unsignedVarint(length + 1)
    else if (length <= MOST_CLASSIC_BYTES) this.int16(length)
    else
      throw new InvalidRequestError(`a name or text of ${length} bytes is too long for Kafka (${MOST_CLASSIC_BYTES})`)
    const at = this.#take(length)
    writeString(this.#buffer, value, length, at)
    return this
  }

  nullableString(value: string | null): this {
    if (value !== null) return this.string(value)
    return this.#isFlexible ? this.#unsignedVarint(0) : this.int16(-1)
  }

  array<T>(items: readonly T[], write: (item: T) => void): this {
    this.#length(items.length)
    for (const item of items) write(item)
    return this
  }

  nullableArray<T>(items: readonly T[] | null, write: (item: T) => void): this {
    return items === null ? this.#length(-1) : this.array(items, write)
  }

  /** Writes an array of structures. */
  structs<T>(items: readonly T[], write: (item: T) => void): this {
    return this.array(items, item => {
      write(item)
      this.tags()
    })
  }

  /** Writes `[topic, [partition …]]`; `write` writes the fields of one partition. */
  byTopic<T extends { readonly topic: string }>(partitions: readonly T[], write: (partition: T) => void): this {
    return this.groupedByTopic([...groupBy(partitions, topicOf).values()].flat(), write)
  }

  /** The same where the partitions of each topic are next to each other already. */
  groupedByTopic<T extends { readonly topic: string }>(partitions: readonly T[], write: (partition: T) => void): this {
    const { length } = partitions
    let topics = 0
    for (let at = 0; at < length; at++) if (partitions[at]!.topic !== partitions[at - 1]?.topic) topics++
    this.#length(topics)
    for (let at = 0, end = 0; at < length; ) {
      const { topic } = partitions[at]!
      while (partitions[end]?.topic === topic) end++
      this.string(topic).#length(end - at)
      for (; at < end; at++) {
        write(partitions[at]!)
        this.tags()
      }
      this.tags()
    }
    return this
  }

  /** The same where partitions are numbers alone. */
  numbersByTopic(partitions: readonly TopicPartition[]): this {
    return this.structs([...groupBy(partitions, topicOf)], ([topic, ofTopic]) =>
      this.string(topic).array(ofTopic, ({ partition }) => this.int32(partition))
    )
  }

  /** @param text as Kafka prints it: 22 characters of base64url */
  uuid(text: string): this {
    const at = this.#take(UUID_BYTES)
    this.#buffer.fill(0, at, at + UUID_BYTES)
    this.#buffer.write(text, at, UUID_BYTES, 'base64url')
    return this
  }

  /**
   * Ends a structure with its tagged fields, by ascending number. Writes nothing in versions that are not flexible.
   * @param fields absent: none
   */
  tags(fields?: ReadonlyMap<number, Buffer>): this {
    if (!this.#isFlexible) return this
    if (fields === undefined) return this.#unsignedVarint(0)
    this.#unsignedVarint(fields.size)
    for (const [tag, bytes] of fields) this.#unsignedVarint(tag).#unsignedVarint(bytes.length).raw(bytes)
    return this
  }

  /** Writes a byte field with its length. */
  bytes(value: Buffer): this {
    return this.#length(value.length).raw(value)
  }

  nullableBytes(value: Buffer | null): this {
    return value === null ? this.#length(-1) : this.bytes(value)
  }

  /** Writes bytes without a length. */
  raw(value: Buffer): this {
    if (value.length <= COPIED_BYTES) {
      const at = this.#take(value.length)
      this.#buffer.set(value, at)
      return this
    }
    this.#seal()
    this.#pieces.push(value)
    this.#sizeBytes += value.length
    return this
  }

  /** Returns all bytes in pieces, which are sent one after another. Nothing may be written afterwards. */
  finish(): readonly Buffer[] {
    this.#seal()
    return this.#pieces
  }

  /** The length of bytes or of an array; -1: null. */
  #length(length: number): this {
    if (this.#isFlexible) return this.#unsignedVarint(length + 1)
    const at = this.#take(4)
    writeInt32(this.#buffer, length, at)
    return this
  }

  #unsignedVarint(value: number): this {
    let rest = value
    for (; rest > 0x7f; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80)
    this.#byte(rest)
    return this
  }

  #byte(value: number): void {
    const at = this.#take(1)
    this.#buffer[at] = value
  }

  #seal(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#buffer.subarray(this.#start, this.#end))
    this.#start = this.#end
  }

  /** Reserves this many bytes and returns their position. A new buffer is used when the old one is full. */
  #take(bytes: number): number {
    this.#sizeBytes += bytes
    if (this.#end + bytes > this.#buffer.length) {
      this.#seal()
      this.#buffer = Buffer.allocUnsafe(Math.max(Math.min(this.#buffer.length * 2, MOST_KEPT_BYTES), bytes))
      this.#start = this.#end = 0
    }
    const at = this.#end
    this.#end += bytes
    return at
  }
}

/** Writes one request. */
export class RequestWriter extends ProtocolWriter {
  /**
   * Starts a request; the length is filled in at the end.
   *
   * @param isFlexible the request has the compact encoding and the tagged fields of KIP-482
   * @param memory as for {@link ProtocolWriter}
   */
  constructor(
    apiKey: number,
    apiVersion: number,
    correlationId: number,
    clientId: string,
    isFlexible = false,
    memory?: Buffer
  ) {
    super(memory)
    // The client id is always in the classic encoding, so that brokers can read it in versions that they do not know.
    this.int32(0).int16(apiKey).int16(apiVersion).int32(correlationId).string(clientId)
    if (isFlexible) this.becomeFlexible().tags()
  }

  override finish(): readonly Buffer[] {
    const pieces = super.finish()
    pieces[0]!.writeInt32BE(this.sizeBytes - 4, 0)
    return pieces
  }
}

const topicOf = ({ topic }: { readonly topic: string }): string => topic

const VARINT_BITS = 35
const MAX_ASCII = 0x7f
const NAME_LENGTH_BYTES = 2
const SHORT_LIST = 16
/** Means that there is no UUID. */
export const ZERO_UUID = 'A'.repeat(22)

/**
 * A limit of the items of lists, which are added up before they are read. An item of a few bytes becomes an object of many
 * bytes, so a large response of small items could take all memory.
 */
export interface Limit {
  readonly most: number
  readonly what: string
  /** True: there may not be more items than were asked for either. */
  readonly isAsked: boolean
}
export const atMost = (most: number, what: string): Limit => ({ most, what, isAsked: false })
export const noMoreThanAsked = (what: string, most = Number.POSITIVE_INFINITY): Limit => ({ most, what, isAsked: true })

/** Reads values of Kafka's protocol. Every method checks that enough bytes are left. */
export class ProtocolReader {
  readonly #bytes: Buffer
  #isFlexible: boolean
  #at = 0
  /** The number of items that the call has asked for; `undefined`: any number. */
  readonly #asked: number | undefined
  #totals: Map<Limit, number> | undefined

  /** @param isFlexible the bytes have the compact encoding and the tagged fields of KIP-482 */
  constructor(bytes: Buffer, isFlexible = false, asked?: number) {
    this.#bytes = bytes
    this.#isFlexible = isFlexible
    this.#asked = asked
  }

  /** From now on, reads the compact encoding and the tagged fields of KIP-482. */
  becomeFlexible(): this {
    this.#isFlexible = true
    return this
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
    const value = this.int64()
    return Number.isSafeInteger(value) ? value : undefined
  }

  /** Reads an i64, rounded beyond 2^53. This is exact enough for times. */
  int64(): number {
    const at = this.#pass(8)
    return readInt64(this.#bytes, at)
  }

  bigInt64(): bigint {
    return this.#bytes.readBigInt64BE(this.#pass(8))
  }

  string(): string {
    const value = this.nullableString()
    if (value === null) throw new ProtocolError('a text is missing')
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

  /**
   * Reads a text. Null becomes the empty string, although brokers should not send null here.
   *
   * @param expected becomes the result if it is the name that comes, which costs less than a new string
   */
  name(expected?: string): string {
    return this.#passName(expected) ?? this.nullableString() ?? ''
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
    throw new ProtocolError('a length of more than 32 bits')
  }

  /** Reads a UUID as Kafka prints it, 22 characters of base64url. */
  uuid(): string {
    const at = this.#pass(UUID_BYTES)
    return this.#bytes.toString('base64url', at, at + UUID_BYTES)
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
   * @throws ProtocolError when the count does not fit into the remaining bytes, ResponseTooLargeError beyond the limit;
   *   both before any item is read
   */
  array<T>(read: () => T, limit?: Limit): T[] {
    return this.nullableArray(read, limit) ?? []
  }

  nullableArray<T>(read: () => T, limit?: Limit): T[] | null {
    const count = this.count(limit)
    if (count < 0) return null
    // Short lists get their exact size, because `push` reserves memory for 17 items, and most lists have one item or
    // none.
    const items: T[] = count <= SHORT_LIST ? new Array(count) : []
    for (let index = 0; index < count; index++) items[index] = read()
    return items
  }

  /** Reads an array of structures. */
  structs<T>(read: () => T): T[] {
    return this.nullableStructs(read) ?? []
  }

  nullableStructs<T>(read: () => T): T[] | null {
    return this.nullableArray(() => {
      const item = read()
      this.tags()
      return item
    })
  }

  /** Reads the number of items of an array; -1: null. @throws as {@link array} does */
  count(limit?: Limit): number {
    const count = this.#length()
    // Each item has at least one byte.
    if (count < -1 || count > this.remainingBytes) {
      throw new ProtocolError(`${count} items in ${this.remainingBytes} bytes`)
    }
    if (limit !== undefined) this.#addUp(limit, Math.max(0, count))
    return count
  }

  #addUp(limit: Limit, count: number): void {
    this.#totals ??= new Map()
    const total = (this.#totals.get(limit) ?? 0) + count
    this.#totals.set(limit, total)
    const { most, what, isAsked } = limit
    if (isAsked && this.#asked !== undefined && total > this.#asked) {
      throw new ProtocolError(`more than the ${this.#asked} ${what} that were asked for`)
    }
    if (total > most) throw new ResponseTooLargeError(`more than ${most} ${what}`)
  }

  /**
   * Reads `[topic, [partition …]]` into one list; `read` reads the fields of one partition.
   *
   * @param limit of the partitions of all topics
   */
  byTopic<T>(read: (topic: string) => T, limit?: Limit): T[] {
    const partitions: T[] = []
    for (let topics = this.count(); topics > 0; topics--) {
      const topic = this.name()
      for (let left = this.count(limit); left > 0; left--) {
        partitions.push(read(topic))
        this.tags()
      }
      this.tags()
    }
    return partitions
  }

  /** @throws ProtocolError when bytes are left */
  end(): void {
    if (this.remainingBytes > 0) throw new ProtocolError(`${this.remainingBytes} bytes too many`)
  }

  /** The length of bytes or of an array; -1: null. */
  #length(): number {
    return this.#isFlexible ? this.unsignedVarint() - 1 : this.int32()
  }

  #pass(bytes: number): number {
    const at = this.#at
    if (bytes < 0 || bytes > this.#bytes.length - at) {
      throw new ProtocolError(bytes < 0 ? 'a negative length' : 'the bytes end early')
    }
    this.#at = at + bytes
    return at
  }
}
