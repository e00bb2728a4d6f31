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
 * batchLength counts from 12 on, the CRC-32C covers everything from 21 on. A record, all numbers zigzag varints:
 *
 *   length, attributes i8, timestampDelta, offsetDelta, keyLength (-1: null), key, valueLength, value,
 *   headerCount, headers: (keyLength, key, valueLength, value)*
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

/** Base offset and batch length: what `batchLength` does not count. */
export const LOG_OVERHEAD_BYTES = 12

export const CODEC_MASK = 0x07
export const LOG_APPEND_TIME_FLAG = 0x08
export const TRANSACTIONAL_FLAG = 0x10
export const CONTROL_FLAG = 0x20

const TWO_POW_32 = 0x100000000

/** Writes a safe integer as i64 without BigInt. */
export function writeInt64(target: Buffer, value: number, at: number): void {
  target.writeInt32BE(Math.floor(value / TWO_POW_32) | 0, at)
  target.writeUInt32BE(value >>> 0, at + 4)
}

/** Reads an i64 as a number; exact for safe integers only, the caller judges. */
export const readInt64 = (source: Buffer, at: number): number =>
  source.readInt32BE(at) * TWO_POW_32 + source.readUInt32BE(at + 4)
