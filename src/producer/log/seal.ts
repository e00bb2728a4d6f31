import { saltedCrc } from './crc.js'
import { decodeEntry, entrySizeBytes, SEAL_TYPE, stampEntry, writeUnstamped } from './entry.js'
import type { LogFile } from './files.js'
import type { LogSegment, SegmentExtent } from './segment.js'
import { readUInt64, writeUInt64 } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'

const MAGIC = Buffer.from('CASTSEAL')
const TRAILER_BYTES = 24
const SEQUENCE_BYTES = 8
const CRC_AT = 20
const NO_DESTINATION = new Uint8Array(0)

/** The bytes that close a segment: an entry with its index, and a trailer that finds it. */
export function encodeSeal(segment: LogSegment, index: SegmentIndex): Buffer {
  const body = Buffer.concat([index.encode(), encodeSequences(segment.sequences)])
  const sizeBytes = entrySizeBytes(0, body.length)
  const bytes = Buffer.alloc(sizeBytes + TRAILER_BYTES)
  writeUnstamped(bytes, 0, NO_DESTINATION, body.length, 0, SEAL_TYPE)
  body.copy(bytes, sizeBytes - body.length)
  const unsyncedCount = segment.sequences?.length ?? 0
  stampEntry(bytes, 0, { sequence: segment.endSequence, salt: segment.salt, unsyncedCount })
  MAGIC.copy(bytes, sizeBytes)
  writeUInt64(bytes, segment.endBytes, sizeBytes + 8)
  bytes.writeUInt32BE(segment.entryCount, sizeBytes + 16)
  const trailer = bytes.subarray(sizeBytes, sizeBytes + CRC_AT)
  bytes.writeUInt32BE(saltedCrc(trailer, segment.salt), sizeBytes + CRC_AT)
  return bytes
}

/** How far the entries reach, as the trailer says; `undefined` when the file has none that fits. */
export function readTrailer(file: LogFile, salt: number): SegmentExtent | undefined {
  const { sizeBytes } = file
  const trailer = file.read(Math.max(0, sizeBytes - TRAILER_BYTES), TRAILER_BYTES)
  if (trailer.length < TRAILER_BYTES || !trailer.subarray(0, 8).equals(MAGIC)) return undefined
  if (saltedCrc(trailer.subarray(0, CRC_AT), salt) !== trailer.readUInt32BE(CRC_AT)) return undefined
  const endBytes = readUInt64(trailer, 8)
  return endBytes + TRAILER_BYTES < sizeBytes ? { endBytes, entryCount: trailer.readUInt32BE(16) } : undefined
}

/** The index in the seal; `undefined` when the segment has none, or the seal is damaged. */
export function readSealedIndex(file: LogFile, { salt, endBytes, entryCount }: LogSegment): SegmentIndex | undefined {
  const trailer = readTrailer(file, salt)
  if (trailer?.endBytes !== endBytes) return undefined
  const body = readBody(file, salt, endBytes)
  const index = body && SegmentIndex.decode(body)
  return index?.count === entryCount ? index : undefined
}

/** How far a merged segment reaches, and the sequences of its entries; `undefined` when its seal is missing or damaged. */
export function readSealedSequences(
  file: LogFile,
  salt: number
): (SegmentExtent & { readonly sequences: Float64Array }) | undefined {
  const trailer = readTrailer(file, salt)
  const body = trailer && readBody(file, salt, trailer.endBytes)
  if (!body) return undefined
  const sequences = new Float64Array(trailer.entryCount)
  const first = body.length - sequences.length * SEQUENCE_BYTES
  for (let at = 0; at < sequences.length; at++) sequences[at] = readUInt64(body, first + at * SEQUENCE_BYTES)
  return { ...trailer, sequences }
}

function readBody(file: LogFile, salt: number, offset: number): Buffer | undefined {
  const seal = decodeEntry(file.read(offset, file.sizeBytes - TRAILER_BYTES - offset), 0, salt)
  return seal.type === 'entry' && seal.kind === 'seal' ? seal.entry.body : undefined
}

function encodeSequences(sequences: Float64Array = new Float64Array(0)): Buffer {
  const bytes = Buffer.alloc(sequences.length * SEQUENCE_BYTES)
  for (let at = 0; at < sequences.length; at++) writeUInt64(bytes, sequences[at]!, at * SEQUENCE_BYTES)
  return bytes
}
