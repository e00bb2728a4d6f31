import { JSON_ESCAPES, utf8Of } from '../../core/json/byte-escapes.js'
import { isJson } from '../../core/json/is-json.js'
import { base64Size, escapedSize, type JsonPart, QUOTES_BYTES } from '../../core/json/json-parts.js'
import type { InstanceRecord } from '../../verbs/verbs.js'
import type { PiecedBody } from '../exchange/pieced-body.js'
import { SegmentedBody } from '../exchange/segmented-body.js'

/** How keys and values are written: as the stored JSON, in base64, or as a JSON string of their UTF-8. */
export type ListFormat = 'json' | 'binary' | 'text'

/** The records of an answer, as far as they can be written. */
export interface RecordList {
  /** Reads the bytes of the records while it leaves. */
  readonly body: PiecedBody
  /** How many of the first records the body has. */
  readonly count: number
  /** Bytes of their keys and values. */
  readonly bytes: number
  /** The record after them at which the list ends, as the format cannot express it. */
  readonly poison: UndecodableRecord | undefined
}

export interface UndecodableRecord {
  readonly record: InstanceRecord
  readonly cause: string
}

export interface RecordListOptions {
  /** Further members of a record as JSON, each after a comma. */
  readonly membersOf?: ((record: InstanceRecord) => string) | undefined
  /** Why the record at the same place cannot be written. Absent: follows from the format. */
  readonly causes?: readonly (string | undefined)[] | undefined
  /**
   * Further members of a record that cannot be written, each after a comma: its key and value are null then. Empty: it is left out;
   * `undefined`: the list ends before it.
   */
  readonly insteadOf?: (undecodable: UndecodableRecord) => string | undefined
}

/** Writes records as a list of JSON, up to the first one that the format cannot express. */
export function writeRecordList(
  records: readonly InstanceRecord[],
  format: ListFormat,
  { membersOf, causes, insteadOf }: RecordListOptions = {}
): RecordList {
  const body = new ListBody(format)
  const needsJson = format === 'json' && causes === undefined
  let bytes = 0
  let count = 0
  let poison: UndecodableRecord | undefined
  for (const record of records) {
    const cause = needsJson ? noJsonIn(record) : causes?.[count]
    const instead = cause === undefined ? '' : insteadOf?.({ record, cause })
    if (cause !== undefined && instead === undefined) {
      poison = { record, cause }
      break
    }
    count++
    if (cause !== undefined && instead === '') continue
    const { topic, partition, offset } = record
    const { key, value } = cause === undefined ? record : NOTHING
    bytes += lengthOf(key) + lengthOf(value)
    const row = cause === undefined ? record : { topic, partition, offset, key, value }
    body.add(row, (membersOf?.(record) ?? '') + instead)
  }
  return { body, count, bytes, poison }
}

type RecordRow = Pick<InstanceRecord, 'topic' | 'partition' | 'offset' | 'key' | 'value'>

const VALUE = Buffer.from(',"value":')
const NULL = Buffer.from('null')
const [OPEN, CLOSE, COMMA, BRACE, QUOTE, ZERO] = [0x5b, 0x5d, 0x2c, 0x7d, 0x22, 0x30]

/** A list whose records go from their batches into the piece that leaves. */
class ListBody implements PiecedBody {
  readonly #format: ListFormat
  readonly #rows: RecordRow[] = []
  /** Sizes of escaped texts, which are counted once. */
  readonly #sizes: number[] = []
  /** Further members, at the places of their records. */
  readonly #members: string[] = []
  /** Texts around the key, the value and the offset of each record of a partition. */
  #frame = { topic: '', partition: -1, start: NULL, end: NULL }
  /** Size of the list without its end. */
  #bytes = 0

  constructor(format: ListFormat) {
    this.#format = format
  }

  get length(): number {
    return Math.max(1, this.#bytes) + 1
  }

  add(row: RecordRow, members: string): void {
    if (members !== '') this.#members[this.#rows.length] = members
    const sizeBytes = this.#sizeOf(row, this.#rows.push(row) - 1)
    this.#bytes += sizeBytes
    if (this.#format === 'text') this.#sizes.push(sizeBytes)
  }

  *fill(piece: Buffer): Generator<Buffer, void> {
    let at = 0
    for (let index = 0; index < this.#rows.length; index++) {
      const row = this.#rows[index]!
      const sizeBytes = this.#sizes[index] ?? this.#sizeOf(row, index)
      // The end of the list has space behind any record.
      if (at > 0 && at + sizeBytes >= piece.length) {
        yield piece.subarray(0, at)
        at = 0
      }
      if (sizeBytes < piece.length) at = this.#write(piece, at, row, index)
      else yield* this.#longRow(row, index).fill(piece)
    }
    if (this.#rows.length === 0) piece[at++] = OPEN
    piece[at++] = CLOSE
    yield piece.subarray(0, at)
  }

  /** Bytes of a record, and of the bracket or comma before it. */
  #sizeOf(row: RecordRow, index: number): number {
    const { start, end } = this.#frameOf(row)
    const members = this.#members[index]
    const contents = this.#sizeOfContent(row.key) + VALUE.length + this.#sizeOfContent(row.value)
    const ofMembers = members === undefined ? 0 : Buffer.byteLength(members)
    return start.length + contents + end.length + digitsOf(row.offset) + ofMembers + 2
  }

  #sizeOfContent(bytes: Buffer | null): number {
    if (bytes === null) return NULL.length
    if (this.#format === 'json') return bytes.length
    return QUOTES_BYTES + (this.#format === 'binary' ? base64Size(bytes) : escapedSize(bytes, JSON_ESCAPES))
  }

  #partOf(bytes: Buffer | null): JsonPart {
    if (bytes === null) return 'null'
    if (this.#format === 'json') return { json: bytes }
    return this.#format === 'binary' ? { base64: bytes } : { text: bytes, escapes: JSON_ESCAPES }
  }

  /** A record that is longer than a piece. */
  #longRow(row: RecordRow, index: number): SegmentedBody {
    const body = new SegmentedBody()
    const { start, end } = this.#frameOf(row)
    body.add(index === 0 ? '[' : ',')
    body.addBytes(start)
    body.add(this.#partOf(row.key))
    body.addBytes(VALUE)
    body.add(this.#partOf(row.value))
    body.addBytes(end)
    body.add(`${row.offset}${this.#members[index] ?? ''}}`)
    return body
  }

  #frameOf({ topic, partition }: RecordRow): { start: Buffer; end: Buffer } {
    if (partition === this.#frame.partition && topic === this.#frame.topic) return this.#frame
    // Names of topics need no escapes.
    const start = Buffer.from(`{"topic":"${topic}","key":`)
    this.#frame = { topic, partition, start, end: Buffer.from(`,"partition":${partition},"offset":`) }
    return this.#frame
  }

  /** @returns the position behind the record, for which there is space */
  #write(piece: Buffer, at: number, row: RecordRow, index: number): number {
    const { start, end } = this.#frameOf(row)
    const members = this.#members[index]
    piece[at++] = index === 0 ? OPEN : COMMA
    at = this.#writeContent(piece, copy(start, piece, at), row.key)
    at = this.#writeContent(piece, copy(VALUE, piece, at), row.value)
    const digitsAt = copy(end, piece, at)
    at = digitsAt + digitsOf(row.offset)
    for (let rest = row.offset, digit = at - 1; digit >= digitsAt; rest = Math.floor(rest / 10)) {
      piece[digit--] = ZERO + (rest % 10)
    }
    if (members !== undefined) at += piece.write(members, at)
    piece[at++] = BRACE
    return at
  }

  #writeContent(piece: Buffer, at: number, bytes: Buffer | null): number {
    if (bytes === null || this.#format === 'json') return copy(bytes ?? NULL, piece, at)
    piece[at++] = QUOTE
    if (this.#format === 'binary') at += piece.write(bytes.toString('base64'), at, 'latin1')
    else for (const text of utf8Of(bytes)) ({ at } = JSON_ESCAPES.write(text, 0, piece, at))
    piece[at] = QUOTE
    return at + 1
  }
}

/** Bytes up to this number are copied faster one by one. */
const FEW_BYTES = 48

/** @returns the position behind the copied bytes */
function copy(bytes: Buffer, piece: Buffer, at: number): number {
  if (bytes.length > FEW_BYTES) piece.set(bytes, at)
  else for (let from = 0; from < bytes.length; from++) piece[at + from] = bytes[from]!
  return at + bytes.length
}

function digitsOf(whole: number): number {
  let digits = 1
  for (let limit = 10; whole >= limit; limit *= 10) digits++
  return digits
}

const lengthOf = (bytes: Buffer | null): number => bytes?.length ?? 0

const NOTHING = { key: null, value: null }

function noJsonIn({ key, value }: InstanceRecord): string | undefined {
  if (!isNullOrJson(key)) return 'has a key that is not JSON'
  return isNullOrJson(value) ? undefined : 'has a value that is not JSON'
}

const isNullOrJson = (bytes: Buffer | null): boolean => bytes === null || isJson(bytes)
