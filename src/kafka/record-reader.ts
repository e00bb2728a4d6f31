import { viewOf } from '../core/bytes.js'
import type { KafkaRecord, Offset, RecordHeader } from '../core/model.js'
import { codecOf, decompress } from './compression.js'
import * as layout from './record-batch-layout.js'

const noHeaders: readonly RecordHeader[] = Object.freeze([])

/** The records of a batch do not match its header. */
export class DamagedRecordsError extends Error {
  override readonly name = 'DamagedRecordsError'
}

export interface RecordIndex {
  /** The position of each record, and the end of the last record. */
  readonly positions: Uint32Array
  /** Offset of each record relative to the base offset of the batch; `undefined`: 0, 1, 2, … */
  readonly offsetDeltas: Uint32Array | undefined
  /** The headers of the record that has most of them. */
  readonly mostHeaders: number
}

/** The smallest record has seven numbers of one byte. */
const SMALLEST_RECORD_BYTES = 7

/**
 * Finds and checks all records in one pass, so that decoding a record later cannot fail: every length stays within its record,
 * every record within the batch, and offsets rise up to `lastOffsetDelta`.
 *
 * @throws DamagedRecordsError when one of these checks fails
 */
export function indexRecords(bytes: Buffer, at: number, count: number, lastOffsetDelta: number): RecordIndex {
  if (count < 0 || count > (bytes.length - at) / SMALLEST_RECORD_BYTES) {
    throw new DamagedRecordsError(`${count} records do not fit into ${bytes.length - at} bytes`)
  }
  const positions = new Uint32Array(count + 1)
  let offsetDeltas: Uint32Array | undefined
  let previous = -1
  const fields = new RecordFields(bytes, at)
  for (let index = 0; index < count; index++) {
    positions[index] = fields.position
    const delta = passRecord(fields, bytes.length)
    if (delta <= previous || delta > lastOffsetDelta) throw new DamagedRecordsError('offsets of records do not rise')
    if (delta !== index) offsetDeltas ??= countUpTo(index, count)
    if (offsetDeltas !== undefined) offsetDeltas[index] = delta
    previous = delta
  }
  positions[count] = fields.position
  if (fields.position !== bytes.length) throw new DamagedRecordsError('bytes are left behind the last record')
  return { positions, offsetDeltas, mostHeaders: fields.mostHeaders }
}

/** Checks one record, moves to its end, and returns its offset delta. */
function passRecord(fields: RecordFields, batchEnd: number): number {
  const length = fields.varint()
  const end = fields.position + length
  if (length < 0 || end > batchEnd) throw new DamagedRecordsError('a record reaches beyond its batch')
  fields.skip(1)
  fields.varlong()
  const offsetDelta = fields.varint()
  fields.skipBytes()
  fields.skipBytes()
  const headers = fields.varint()
  if (headers !== 0) passHeaders(fields, headers, end)
  if (fields.position !== end) throw new DamagedRecordsError('a record does not end where it says')
  return offsetDelta
}

function passHeaders(fields: RecordFields, count: number, end: number): void {
  if (count < 0) throw new DamagedRecordsError('a record has a negative number of headers')
  fields.mostHeaders = Math.max(fields.mostHeaders, count)
  for (let index = 0; index < count; index++) {
    if (fields.position >= end) throw new DamagedRecordsError('a record has fewer headers than it says')
    const keyLength = fields.varint()
    if (keyLength < 0) throw new DamagedRecordsError('a header has no key')
    fields.skip(keyLength)
    fields.skipBytes()
  }
}

function countUpTo(end: number, length: number): Uint32Array {
  const numbers = new Uint32Array(length)
  for (let index = 0; index < end; index++) numbers[index] = index
  return numbers
}

const TWO_POW_31 = 2 ** 31

const unzigzag = (raw: number): number => (raw >>> 1) ^ -(raw & 1)

/**
 * Reads the fields of records one after another. For speed it does not check for the end of the bytes. This is safe:
 * bytes beyond the end read as `undefined`, which continues a varint, and a varint that is too long is refused.
 * `indexRecords` compares the position after each record with the end according to its length.
 */
export class RecordFields {
  position: number
  /** Largest number of headers among the records whose headers were passed. */
  mostHeaders = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer, position: number) {
    this.#bytes = bytes
    this.position = position
  }

  /** @throws DamagedRecordsError when the number has more than five bytes */
  varint(): number {
    const bytes = this.#bytes
    const first = bytes[this.position++]!
    if (first < 0x80) return unzigzag(first)
    const second = bytes[this.position++]!
    if (second < 0x80) return unzigzag((first & 0x7f) | (second << 7))
    return this.#longVarint((first & 0x7f) | ((second & 0x7f) << 7))
  }

  #longVarint(raw: number): number {
    for (let shift = 14; shift < 35; shift += 7) {
      const byte = this.#bytes[this.position++]!
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return unzigzag(raw)
    }
    throw tooLong()
  }

  /**
   * Reads a number, which is exact up to 2^52. Timestamps are far smaller.
   *
   * @throws DamagedRecordsError when the number has more than ten bytes
   */
  varlong(): number {
    const first = this.#bytes[this.position++]!
    return first < 0x80 ? unzigzag(first) : this.#longVarlong(first & 0x7f)
  }

  #longVarlong(raw: number): number {
    for (let shift = 7; shift < 70; shift += 7) {
      const byte = this.#bytes[this.position++]!
      raw += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return raw < TWO_POW_31 ? unzigzag(raw) : raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
    }
    throw tooLong()
  }

  skip(bytes: number): void {
    this.position += bytes
  }

  /** Skips a key or value: its length, -1 for null, and its bytes. */
  skipBytes(): void {
    const length = this.varint()
    if (length > 0) this.position += length
    else if (length < -1) throw new DamagedRecordsError('a key or value has a negative length')
  }

  /** A key or value, as a view. */
  readBytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.position
    this.position = start + length
    return this.#bytes.subarray(start, this.position)
  }
}

/** Records that {@link indexRecords} has checked, and the memory in which they are. */
export interface OpenRecords extends Omit<RecordIndex, 'mostHeaders'> {
  readonly records: Buffer
  /** The memory of `records`, and their start in it. */
  readonly memory: ArrayBufferLike
  readonly memoryOffset: number
}

export interface BatchTimes {
  readonly baseTimestampMs: number
  /** The timestamp of all records when the topic uses LogAppendTime. */
  readonly logAppendTimeMs: number | undefined
}

/**
 * Decodes the record at `index`. This is the hottest loop of a reader, so the fields are read here into local variables, in
 * half the time that {@link RecordFields} takes. The lines that read a length stand here twice, because a call for each
 * length would cost what this gains. Nothing is checked, because `indexRecords` has done it.
 */
export function readRecord(
  { records, positions, memory, memoryOffset }: OpenRecords,
  index: number,
  offset: Offset,
  { baseTimestampMs, logAppendTimeMs }: BatchTimes
): KafkaRecord {
  let at = positions[index]!
  while (records[at]! >= 0x80) at++
  // Behind the length, the attributes.
  at += 2
  let timestampDelta: number
  if (records[at]! < 0x80) timestampDelta = unzigzag(records[at++]!)
  else {
    const fields = new RecordFields(records, at)
    timestampDelta = fields.varlong()
    at = fields.position
  }
  // The offset delta.
  while (records[at]! >= 0x80) at++
  at++
  let raw = records[at++]!
  if (raw >= 0x80) {
    raw &= 0x7f
    for (let shift = 7, more = true; more; shift += 7) {
      const byte = records[at++]!
      raw |= (byte & 0x7f) << shift
      more = byte >= 0x80
    }
  }
  const keyLength = unzigzag(raw)
  let key: Buffer | null = null
  if (keyLength >= 0) {
    key = viewOf(memory, memoryOffset + at, keyLength)
    at += keyLength
  }
  raw = records[at++]!
  if (raw >= 0x80) {
    raw &= 0x7f
    for (let shift = 7, more = true; more; shift += 7) {
      const byte = records[at++]!
      raw |= (byte & 0x7f) << shift
      more = byte >= 0x80
    }
  }
  const valueLength = unzigzag(raw)
  let value: Buffer | null = null
  if (valueLength >= 0) {
    value = viewOf(memory, memoryOffset + at, valueLength)
    at += valueLength
  }
  return {
    offset,
    timestampMs: logAppendTimeMs ?? baseTimestampMs + timestampDelta,
    key,
    value,
    headers: records[at] === 0 ? noHeaders : readHeaders(new RecordFields(records, at))
  }
}

const tooLong = (): DamagedRecordsError => new DamagedRecordsError('a number in a record is cut or too long')

/** The headers of a record. Records without headers share one empty list. */
export function readHeaders(fields: RecordFields): readonly RecordHeader[] {
  const count = fields.varint()
  if (count === 0) return noHeaders
  const headers: RecordHeader[] = []
  for (let index = 0; index < count; index++) {
    const key = fields.readBytes()!.toString('utf8')
    headers.push({ key, value: fields.readBytes() })
  }
  return headers
}

/** The batch length is an i32, so no batch of this process is larger. */
const LARGEST_BATCH_BYTES = 0x7fffffff

/** Key, value and headers of a record that this process wrote; views of the batch's bytes. */
export interface WrittenRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** Reads the records of a batch that `RecordBatchWriter` sealed, so that they can be written into other batches. */
export function readBack(batch: Buffer): WrittenRecord[] {
  const codec = codecOf(batch.readInt16BE(layout.AT_ATTRIBUTES) & layout.CODEC_MASK) ?? 'none'
  const records = decompress(codec, batch.subarray(layout.BATCH_HEADER_BYTES), LARGEST_BATCH_BYTES)
  const count = batch.readInt32BE(layout.AT_RECORD_COUNT)
  const { positions } = indexRecords(records, 0, count, count - 1)
  return Array.from(positions.subarray(0, count), position => {
    const fields = new RecordFields(records, position)
    fields.varint()
    fields.skip(1)
    fields.varlong()
    fields.varint()
    return { key: fields.readBytes(), value: fields.readBytes(), headers: readHeaders(fields) }
  })
}
