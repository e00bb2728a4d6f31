import { saltedCrc } from './crc.js'
import { decodeEntry, entrySizeBytes, SEAL_TYPE, stampEntry, writeUnstamped } from './entry.js'
import type { LogFile } from './files.js'
import type { Slab, SlabExtent } from './slab.js'
import { readUInt64, writeUInt64 } from './slab-header.js'
import { SlabIndex } from './slab-index.js'

const MAGIC = Buffer.from('CASTSEAL')
const TRAILER_BYTES = 24
const CRC_AT = 20
const NO_DESTINATION = new Uint8Array(0)

/** The bytes that close a slab: an entry with its index, and a trailer that finds it. */
export function encodeSeal(slab: Slab, index: SlabIndex): Buffer {
  const body = index.encode()
  const sizeBytes = entrySizeBytes(0, body.length)
  const bytes = Buffer.alloc(sizeBytes + TRAILER_BYTES)
  writeUnstamped(bytes, 0, NO_DESTINATION, body.length, 0, SEAL_TYPE)
  body.copy(bytes, sizeBytes - body.length)
  stampEntry(bytes, 0, { sequence: slab.endSequence, salt: slab.salt, unsyncedCount: 0 })
  MAGIC.copy(bytes, sizeBytes)
  writeUInt64(bytes, slab.endBytes, sizeBytes + 8)
  bytes.writeUInt32BE(slab.entryCount, sizeBytes + 16)
  const trailer = bytes.subarray(sizeBytes, sizeBytes + CRC_AT)
  bytes.writeUInt32BE(saltedCrc(trailer, slab.salt), sizeBytes + CRC_AT)
  return bytes
}

/** How far the entries reach, as the trailer says; `undefined` when the file has none that fits. */
export function readTrailer(file: LogFile, salt: number): SlabExtent | undefined {
  const { sizeBytes } = file
  const trailer = file.read(Math.max(0, sizeBytes - TRAILER_BYTES), TRAILER_BYTES)
  if (trailer.length < TRAILER_BYTES || !trailer.subarray(0, 8).equals(MAGIC)) return undefined
  if (saltedCrc(trailer.subarray(0, CRC_AT), salt) !== trailer.readUInt32BE(CRC_AT)) return undefined
  const endBytes = readUInt64(trailer, 8)
  return endBytes + TRAILER_BYTES < sizeBytes ? { endBytes, entryCount: trailer.readUInt32BE(16) } : undefined
}

/** The index in the seal; `undefined` when the slab has none, or the seal is damaged. */
export function readSealedIndex(file: LogFile, { salt, endBytes, entryCount }: Slab): SlabIndex | undefined {
  const trailer = readTrailer(file, salt)
  if (trailer?.endBytes !== endBytes) return undefined
  const seal = decodeEntry(file.read(endBytes, file.sizeBytes - TRAILER_BYTES - endBytes), 0, salt)
  if (seal.type !== 'entry' || seal.kind !== 'seal') return undefined
  const index = SlabIndex.decode(seal.entry.body)
  return index.count === entryCount ? index : undefined
}
