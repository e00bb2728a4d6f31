import type { Bytes, RecordHeader } from '../core/model.js'

/**
 * A record batch (magic 2), big-endian:
 *
 *    0  baseOffset            i64    23  lastOffsetDelta   i32
 *    8  batchLength           i32    27  baseTimestamp     i64
 *   12  partitionLeaderEpoch  i32    35  maxTimestamp      i64
 *   16  magic                 i8     43  producerId        i64
 *   17  crc                   u32    51  producerEpoch     i16
 *   21  attributes            i16    53  baseSequence      i32
 *                                    57  recordCount       i32
 *   61  records, compressed as a whole
 *
 * batchLength counts the bytes from 12 on. The CRC-32C covers the bytes from 21 on. The fields of a record, in which
 * all numbers are zigzag varints:
 *
 *   length, attributes i8, timestampDelta, offsetDelta, keyLength (-1: null), key, valueLength, value,
 * headerCount, headers: (keyLength, key, valueLength, value)*
 */
export const BATCH_HEADER_BYTES = 61

export const AT_BATCH_LENGTH = 8
export const AT_LEADER_EPOCH = 12
export const AT_MAGIC = 16
export const AT_CRC = 17
export const AT_ATTRIBUTES = 21
export const AT_LAST_OFFSET_DELTA = 23
export const AT_BASE_TIMESTAMP = 27
export const AT_MAX_TIMESTAMP = 35
export const AT_PRODUCER_ID = 43
export const AT_PRODUCER_EPOCH = 51
export const AT_BASE_SEQUENCE = 53
export const AT_RECORD_COUNT = 57

/** Base offset and batch length, which `batchLength` does not count. */
export const LOG_OVERHEAD_BYTES = 12

export const CODEC_MASK = 0x07
export const LOG_APPEND_TIME_FLAG = 0x08
export const TRANSACTIONAL_FLAG = 0x10
export const CONTROL_FLAG = 0x20

const TWO_POW_32 = 0x100000000

/** Writes the low 32 bits of an integer. The method of Buffer checks it, which takes ten times as long. */
export function writeInt32(target: Buffer, value: number, at: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}

/** Writes a safe integer as i64 without BigInt. */
export function writeInt64(target: Buffer, value: number, at: number): void {
  writeInt32(target, Math.floor(value / TWO_POW_32), at)
  writeInt32(target, value, at + 4)
}

/** Reads an i64 as a number. The result is exact when it is a safe integer, which the caller checks. */
export function readInt64(source: Buffer, at: number): number {
  const high = source.readInt32BE(at)
  const low = source.readInt32BE(at + 4)
  // V8 keeps integers of 32 bits without an object on the heap.
  return high === low >> 31 ? low : high * TWO_POW_32 + (low >>> 0)
}

// Kafka's zigzag varints store small numbers of either sign in few bytes: 0 => 00, -1 => 01, 1 => 02, 64 => 80 01

const INT32_MAX = 0x7fffffff
const INT32_MIN = -0x80000000

const sizeOfUnsigned = (value: number): number => {
  if (value < 0) return 5
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x200000) return 3
  return value < 0x10000000 ? 4 : 5
}

/** Bytes of a 32-bit integer as a varint. */
export const sizeOfVarint = (value: number): number => sizeOfUnsigned((value << 1) ^ (value >> 31))

/** Writes a 32-bit integer at `at`; returns the position after it. */
export function writeVarint(target: Buffer, value: number, at: number): number {
  let rest = (value << 1) ^ (value >> 31)
  while (rest & ~0x7f) {
    target[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[at++] = rest
  return at
}

const fitsInt32 = (value: number): boolean => value <= INT32_MAX && value >= INT32_MIN
const zigzag64 = (value: number): bigint => BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))

/** Bytes of a safe integer as a varint. */
export function sizeOfVarlong(value: number): number {
  if (fitsInt32(value)) return sizeOfVarint(value)
  let size = 1
  for (let rest = zigzag64(value) >> 7n; rest > 0n; rest >>= 7n) size++
  return size
}

/** Writes a safe integer at `at`; returns the position after it. */
export function writeVarlong(target: Buffer, value: number, at: number): number {
  if (fitsInt32(value)) return writeVarint(target, value, at)
  let rest = zigzag64(value)
  while (rest > 0x7fn) {
    target[at++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  target[at++] = Number(rest)
  return at
}

/** For strings up to this length a loop in JavaScript is faster than a call into C++. */
const SHORT_STRING_CHARACTERS = 24

/** Bytes of the text in UTF-8. */
export function byteLengthOf(text: string): number {
  const length = text.length
  if (length > SHORT_STRING_CHARACTERS) return Buffer.byteLength(text)
  for (let index = 0; index < length; index++) if (text.charCodeAt(index) > 0x7f) return Buffer.byteLength(text)
  return length
}

/** Length of a key or value; -1: null. */
export const lengthOfBytes = (bytes: Bytes): number =>
  bytes === null ? -1 : typeof bytes === 'string' ? byteLengthOf(bytes) : bytes.length

/** Bytes that a key or value of this length takes. */
export const sizeOfBytes = (length: number): number => (length < 0 ? 1 : sizeOfVarint(length) + length)

export function sizeOfHeaders(headers: readonly RecordHeader[]): number {
  let size = sizeOfVarint(headers.length)
  for (const { key, value } of headers) size += sizeOfBytes(byteLengthOf(key)) + sizeOfBytes(lengthOfBytes(value))
  return size
}

/** Writes a key or value of this length at `at`; returns the position after it. */
export function writeBytes(target: Buffer, bytes: Bytes, length: number, at: number): number {
  at = writeVarint(target, length, at)
  if (length <= 0) return at
  if (typeof bytes !== 'string') target.set(bytes!, at)
  else writeString(target, bytes, length, at)
  return at + length
}

/** The methods of Buffer that its `write` calls; Node's types leave them out. */
interface DirectWriters {
  latin1Write(text: string, at: number, length: number): void
  utf8Write(text: string, at: number, length: number): void
}

/** Writes a text of this length in UTF-8. One with as many bytes as characters is ASCII, which needs no transcoding. */
export function writeString(target: Buffer, text: string, length: number, at: number): void {
  if (text.length !== length) (target as Buffer & DirectWriters).utf8Write(text, at, length)
  else if (length > SHORT_STRING_CHARACTERS) (target as Buffer & DirectWriters).latin1Write(text, at, length)
  else for (let index = 0; index < length; index++) target[at + index] = text.charCodeAt(index)
}

/** Writes the headers of a record at `at`; returns the position after them. */
export function writeHeaders(target: Buffer, headers: readonly RecordHeader[], at: number): number {
  at = writeVarint(target, headers.length, at)
  for (const { key, value } of headers) {
    at = writeBytes(target, key, byteLengthOf(key), at)
    at = writeBytes(target, value, lengthOfBytes(value), at)
  }
  return at
}
