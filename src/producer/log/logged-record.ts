import type { RecordHeader } from '../../core/model.js'
import { readUInt64, writeUInt64 } from './bytes.js'

/** A record as the durable log keeps it. */
export interface LoggedRecord {
  /** Absent: the partition is chosen when the record is delivered. */
  readonly partition?: number | undefined
  /** The partitioner that then chooses it, as a number of the delivery. Default 0. */
  readonly partitioner?: number | undefined
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
  readonly timestampMs: number
  /** The caller has given the time. Absent: the time of acceptance. */
  readonly isTimeGiven?: boolean | undefined
  /** Absent: its request has no key. */
  readonly tag?: RecordTag | undefined
}

/** Names the request of a record, which had the header `Idempotency-Key`. Texts have one byte per character. */
export interface RecordTag {
  /** Hash of the client and the key: 16 bytes. */
  readonly hash: string
  /** Hash of the rest of the request: 8 bytes. */
  readonly fingerprint: string
  /** Index of the record in its request. */
  readonly index: number
}

/**
 * The body of an entry, big-endian:
 *
 *   version u8 = 1 | flags u8 | headers u16 | partition i32 | timestampMs u64 | keyBytes u32 | valueBytes u32 |
 *   key | value | per header: keyBytes u32 | valueBytes i32, -1 for null | key | value | tag: hash 16 | fingerprint 8 |
 *   index u32
 *
 * Flags: 1 key present, 2 value present, 4 partition present, 8 the time was given by the caller, 16 tag present; without 4
 * `partition` is the partitioner. Releases without tags ignore the bytes behind the headers.
 */
const FIXED_BYTES = 24
const VERSION = 1
const HAS_KEY = 1
const HAS_VALUE = 2
const HAS_PARTITION = 4
const IS_TIME_GIVEN = 8
const HAS_TAG = 16
const HEADER_LENGTHS_BYTES = 8
const TAG_BYTES = 28
const FINGERPRINT_AT = 16
const INDEX_AT = 24

export function loggedRecordBytes({ key, value, headers, tag }: LoggedRecord): number {
  let bytes = FIXED_BYTES + (key?.length ?? 0) + (value?.length ?? 0) + (tag === undefined ? 0 : TAG_BYTES)
  for (const header of headers) {
    bytes += HEADER_LENGTHS_BYTES + Buffer.byteLength(header.key) + (header.value?.length ?? 0)
  }
  return bytes
}

/** Writes a record at `offset`, which takes {@link loggedRecordBytes}. */
export function writeLoggedRecord(target: Buffer, offset: number, record: LoggedRecord): void {
  const { key, value, headers, partition, partitioner = 0, timestampMs } = record
  target[offset] = VERSION
  target[offset + 1] = flagsOf(record)
  target.writeUInt16BE(headers.length, offset + 2)
  target.writeInt32BE(partition ?? partitioner, offset + 4)
  writeUInt64(target, timestampMs, offset + 8)
  target.writeUInt32BE(key?.length ?? 0, offset + 16)
  target.writeUInt32BE(value?.length ?? 0, offset + 20)
  let at = writeBytes(target, offset + FIXED_BYTES, key)
  at = writeBytes(target, at, value)
  for (const header of headers) at = writeHeader(target, at, header)
  if (record.tag !== undefined) writeTag(target, at, record.tag)
}

function writeTag(target: Buffer, at: number, { hash, fingerprint, index }: RecordTag): void {
  target.write(hash, at, 'latin1')
  target.write(fingerprint, at + FINGERPRINT_AT, 'latin1')
  target.writeUInt32BE(index, at + INDEX_AT)
}

const flagsOf = ({ key, value, partition, isTimeGiven, tag }: LoggedRecord): number =>
  (key ? HAS_KEY : 0) |
  (value ? HAS_VALUE : 0) |
  (partition === undefined ? 0 : HAS_PARTITION) |
  (isTimeGiven ? IS_TIME_GIVEN : 0) |
  (tag ? HAS_TAG : 0)

function writeBytes(target: Buffer, at: number, bytes: Buffer | null): number {
  if (!bytes) return at
  target.set(bytes, at)
  return at + bytes.length
}

function writeHeader(target: Buffer, at: number, { key, value }: RecordHeader): number {
  const keyBytes = target.write(key, at + HEADER_LENGTHS_BYTES)
  target.writeUInt32BE(keyBytes, at)
  target.writeInt32BE(value ? value.length : -1, at + 4)
  at += HEADER_LENGTHS_BYTES + keyBytes
  return writeBytes(target, at, value)
}

/** Reads what {@link writeLoggedRecord} wrote. Key, value and header values are views of `body`. */
export function readLoggedRecord(body: Buffer): LoggedRecord {
  if (body[0] !== VERSION) throw new Error(`a record of the durable log has the unknown version ${body[0]}`)
  const flags = body[1]!
  const keyEnd = FIXED_BYTES + body.readUInt32BE(16)
  const valueEnd = keyEnd + body.readUInt32BE(20)
  const headers: RecordHeader[] = []
  let at = valueEnd
  for (let count = body.readUInt16BE(2); count > 0; count--) {
    const headerKeyEnd = at + HEADER_LENGTHS_BYTES + body.readUInt32BE(at)
    const valueBytes = body.readInt32BE(at + 4)
    const end = headerKeyEnd + Math.max(0, valueBytes)
    headers.push({
      key: body.toString('utf8', at + HEADER_LENGTHS_BYTES, headerKeyEnd),
      value: valueBytes < 0 ? null : body.subarray(headerKeyEnd, end)
    })
    at = end
  }
  const number = body.readInt32BE(4)
  const record: { -readonly [Field in keyof LoggedRecord]: LoggedRecord[Field] } = {
    key: flags & HAS_KEY ? body.subarray(FIXED_BYTES, keyEnd) : null,
    value: flags & HAS_VALUE ? body.subarray(keyEnd, valueEnd) : null,
    headers,
    timestampMs: readUInt64(body, 8)
  }
  if (flags & HAS_PARTITION) record.partition = number
  else if (number !== 0) record.partitioner = number
  if (flags & IS_TIME_GIVEN) record.isTimeGiven = true
  if (flags & HAS_TAG) record.tag = readTag(body, at)
  return record
}

const readTag = (body: Buffer, at: number): RecordTag => ({
  hash: body.toString('latin1', at, at + FINGERPRINT_AT),
  fingerprint: body.toString('latin1', at + FINGERPRINT_AT, at + INDEX_AT),
  index: body.readUInt32BE(at + INDEX_AT)
})
