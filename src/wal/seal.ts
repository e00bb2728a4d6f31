import { saltedCrc } from './crc.js'
import { decodeEntry, entrySizeBytes, SEAL_TYPE, stampEntry, writeUnstamped } from './entry.js'
import type { LogFile } from './files.js'
import type { Slab } from './slab.js'
import type { SlabHeader } from './slab-header.js'
import { readUInt64, writeUInt64 } from './slab-header.js'

const MAGIC = Buffer.from('CASTSEAL')
const TRAILER_BYTES = 24
const CRC_AT = 20
const NO_DESTINATION = new Uint8Array(0)

interface SealBody {
  readonly entries: number
  readonly destinations: readonly (readonly [string, number])[]
  readonly index: readonly (readonly [number, number])[]
}

/** The bytes that close a slab: an entry that sums it up, and a trailer that finds it. */
export function encodeSeal(slab: Slab): Buffer {
  const summary: SealBody = { entries: slab.entryCount, destinations: [...slab.destinations], index: slab.index }
  const body = Buffer.from(JSON.stringify(summary))
  const sizeBytes = entrySizeBytes(0, body.length)
  const bytes = Buffer.alloc(sizeBytes + TRAILER_BYTES)
  writeUnstamped(bytes, 0, NO_DESTINATION, body.length, 0, SEAL_TYPE)
  body.copy(bytes, sizeBytes - body.length)
  stampEntry(bytes, 0, slab.endSequence, slab.salt)
  MAGIC.copy(bytes, sizeBytes)
  writeUInt64(bytes, slab.endBytes, sizeBytes + 8)
  const trailer = bytes.subarray(sizeBytes, sizeBytes + CRC_AT)
  bytes.writeUInt32BE(saltedCrc(trailer, slab.salt), sizeBytes + CRC_AT)
  return bytes
}

/** What a seal says of its slab; `undefined` when the file has none that fits. */
export function readSeal(file: LogFile, header: SlabHeader): SlabSummary | undefined {
  const { sizeBytes } = file
  const trailer = file.read(Math.max(0, sizeBytes - TRAILER_BYTES), TRAILER_BYTES)
  if (trailer.length < TRAILER_BYTES || !trailer.subarray(0, 8).equals(MAGIC)) return undefined
  if (saltedCrc(trailer.subarray(0, CRC_AT), header.salt) !== trailer.readUInt32BE(CRC_AT)) return undefined
  const sealAt = readUInt64(trailer, 8)
  const length = sizeBytes - TRAILER_BYTES - sealAt
  if (length <= 0) return undefined
  const seal = decodeEntry(file.read(sealAt, length), 0, header.salt)
  if (seal.type !== 'entry' || !seal.isSeal) return undefined
  const { entries, destinations, index } = JSON.parse(seal.entry.body.toString()) as SealBody
  return {
    endBytes: sealAt,
    entryCount: entries,
    destinations: new Map(destinations),
    index: index.map(([sequence, offset]) => [sequence, offset])
  }
}

/** What a slab holds, as its seal or a scan tells. */
export interface SlabSummary {
  readonly endBytes: number
  readonly entryCount: number
  readonly destinations: Map<string, number>
  readonly index: [number, number][]
}
