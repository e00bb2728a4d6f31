import { readUInt64, saltedCrc, writeUInt64 } from './bytes.js'

export const SEGMENT_HEADER_BYTES = 64

const MAGIC = Buffer.from('CASTSLAB')
const VERSION = 1
const MERGED_VERSION = 2
const MERGED_AT = 56
const CRC_AT = 60

/** Fields that identify a segment. */
export interface SegmentIdentity {
  readonly salt: number
  readonly id: number
  readonly firstSequence: number
}

/** The first bytes of a segment; docs/develop/wal-format.md draws them. */
export interface SegmentHeader extends SegmentIdentity {
  /** Id of the segment before; 0: there is none. */
  readonly previousId: number
  /** Bytes behind this length in the segment before were refused. */
  readonly previousEndBytes: number
  readonly createdAtMs: number
  /** Only in merged segments: id of the last segment that this one replaces. Its own id is that of the first one. */
  readonly mergedUpTo?: number | undefined
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  MAGIC.copy(bytes)
  bytes.writeUInt16BE(header.mergedUpTo === undefined ? VERSION : MERGED_VERSION, 8)
  bytes.writeUInt32BE(header.salt, 12)
  writeUInt64(bytes, header.id, 16)
  writeUInt64(bytes, header.firstSequence, 24)
  writeUInt64(bytes, header.previousId, 32)
  writeUInt64(bytes, header.previousEndBytes, 40)
  writeUInt64(bytes, header.createdAtMs, 48)
  bytes.writeUInt32BE((header.mergedUpTo ?? header.id) - header.id, MERGED_AT)
  bytes.writeUInt32BE(saltedCrc(bytes.subarray(0, CRC_AT), 0), CRC_AT)
  return bytes
}

/** `unknownVersion`: written by another release; it must not be touched. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | 'damaged' | 'unknownVersion' {
  if (bytes.length < SEGMENT_HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return 'damaged'
  if (saltedCrc(bytes.subarray(0, CRC_AT), 0) !== bytes.readUInt32BE(CRC_AT)) return 'damaged'
  const version = bytes.readUInt16BE(8)
  if (version !== VERSION && version !== MERGED_VERSION) return 'unknownVersion'
  const id = readUInt64(bytes, 16)
  return {
    salt: bytes.readUInt32BE(12),
    id,
    firstSequence: readUInt64(bytes, 24),
    previousId: readUInt64(bytes, 32),
    previousEndBytes: readUInt64(bytes, 40),
    createdAtMs: readUInt64(bytes, 48),
    mergedUpTo: version === MERGED_VERSION ? id + bytes.readUInt32BE(MERGED_AT) : undefined
  }
}
