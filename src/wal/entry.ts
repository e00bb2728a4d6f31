import { saltedCrc } from './crc.js'
import { readUInt64, writeUInt64 } from './slab-header.js'

/**
 * One entry, big-endian:
 *
 *   magic u32 | headerCrc u32 | type u8 | 0 u8 | destinationBytes u16 | bodyBytes u32 |
 *   sequence u64 | acceptedAtMs u64 | bodyCrc u32 | 0 u32 | destination | body
 *
 * Both CRCs start with the salt of the slab. The lengths are believed only once the header's CRC fits.
 */
export const ENTRY_HEADER_BYTES = 40

export const ENTRY_MAGIC = Buffer.from([0xc5, 0x1a, 0xb0, 0x0c])
export const MAX_DESTINATION_BYTES = 0xffff

const RECORD_TYPE = 1
export const SEAL_TYPE = 2

/** What the log keeps of an entry. */
export interface StoredEntry {
  readonly sequence: number
  /** `cluster/topic`. */
  readonly destination: string
  readonly acceptedAtMs: number
  readonly body: Buffer
}

export type DecodedEntry =
  | { readonly type: 'entry'; readonly entry: StoredEntry; readonly isSeal: boolean; readonly sizeBytes: number }
  /** The header is whole, the body is not: this one entry is lost. */
  | { readonly type: 'damagedBody'; readonly sequence: number; readonly sizeBytes: number }
  /** The header is whole, the bytes end before the body does. */
  | { readonly type: 'incomplete'; readonly sizeBytes: number }
  /** No entry begins here. */
  | { readonly type: 'damaged' }

const DAMAGED = { type: 'damaged' } as const

export const entrySizeBytes = (destinationBytes: number, bodyBytes: number): number =>
  ENTRY_HEADER_BYTES + destinationBytes + bodyBytes

/** Writes everything but magic, sequence and CRCs, which {@link stampEntry} adds once the slab is known. */
export function writeUnstamped(
  target: Buffer,
  offset: number,
  destination: Uint8Array,
  bodyBytes: number,
  acceptedAtMs: number,
  type = RECORD_TYPE
): void {
  target.fill(0, offset, offset + ENTRY_HEADER_BYTES)
  target[offset + 8] = type
  target.writeUInt16BE(destination.length, offset + 10)
  target.writeUInt32BE(bodyBytes, offset + 12)
  writeUInt64(target, acceptedAtMs, offset + 24)
  target.set(destination, offset + ENTRY_HEADER_BYTES)
}

/** Length of the entry at `offset`, as its unverified header says. Only for bytes this process wrote itself. */
export const unverifiedSizeBytes = (bytes: Buffer, offset: number): number =>
  entrySizeBytes(bytes.readUInt16BE(offset + 10), bytes.readUInt32BE(offset + 12))

export const destinationAt = (bytes: Buffer, offset: number): string =>
  bytes.toString('utf8', offset + ENTRY_HEADER_BYTES, offset + ENTRY_HEADER_BYTES + bytes.readUInt16BE(offset + 10))

/** Gives the entry at `offset` its place in a slab: sequence, magic and both CRCs. */
export function stampEntry(bytes: Buffer, offset: number, sequence: number, salt: number): void {
  const headerEnd = offset + ENTRY_HEADER_BYTES + bytes.readUInt16BE(offset + 10)
  const end = headerEnd + bytes.readUInt32BE(offset + 12)
  writeUInt64(bytes, sequence, offset + 16)
  bytes.writeUInt32BE(saltedCrc(bytes.subarray(headerEnd, end), salt), offset + 32)
  ENTRY_MAGIC.copy(bytes, offset)
  bytes.writeUInt32BE(saltedCrc(bytes.subarray(offset + 8, headerEnd), salt), offset + 4)
}

/** Reads the entry at `offset`. The body is a view of `bytes`. */
export function decodeEntry(bytes: Buffer, offset: number, salt: number): DecodedEntry {
  if (offset + ENTRY_HEADER_BYTES > bytes.length || bytes.readUInt32BE(offset) !== ENTRY_MAGIC.readUInt32BE(0)) {
    return DAMAGED
  }
  const headerEnd = offset + ENTRY_HEADER_BYTES + bytes.readUInt16BE(offset + 10)
  if (headerEnd > bytes.length) return DAMAGED
  if (saltedCrc(bytes.subarray(offset + 8, headerEnd), salt) !== bytes.readUInt32BE(offset + 4)) return DAMAGED
  const end = headerEnd + bytes.readUInt32BE(offset + 12)
  const sizeBytes = end - offset
  if (end > bytes.length) return { type: 'incomplete', sizeBytes }
  const body = bytes.subarray(headerEnd, end)
  const sequence = readUInt64(bytes, offset + 16)
  if (saltedCrc(body, salt) !== bytes.readUInt32BE(offset + 32)) return { type: 'damagedBody', sequence, sizeBytes }
  const entry = {
    sequence,
    destination: destinationAt(bytes, offset),
    acceptedAtMs: readUInt64(bytes, offset + 24),
    body
  }
  return { type: 'entry', entry, isSeal: bytes[offset + 8] === SEAL_TYPE, sizeBytes }
}
