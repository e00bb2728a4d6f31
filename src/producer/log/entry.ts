import { readUInt64, saltedCrc, writeUInt64 } from './bytes.js'

/**
 * One entry, big-endian:
 *
 *   magic u32 | headerCrc u32 | type u8 | 0 u8 | destinationBytes u16 | bodyBytes u32 |
 *   sequence u64 | acceptedAtMs u64 | bodyCrc u32 | unsynced u32 | destination | body
 *
 * Both CRCs start with the salt of the segment. The lengths are trusted only if the header's CRC matches.
 */
export const ENTRY_HEADER_BYTES = 40

export const ENTRY_MAGIC = Buffer.from([0xc5, 0x1a, 0xb0, 0x0c])
const MAGIC = ENTRY_MAGIC.readUInt32BE(0)
export const MAX_DESTINATION_BYTES = 0xffff

const RECORD_TYPE = 1
export const SEAL_TYPE = 2
const END_MARK_TYPE = 3
const NO_DESTINATION = new Uint8Array(0)

/** `seal`: the index of a closed segment. `endMark`: stands behind the last entry of an open one. */
export type EntryKind = 'record' | 'seal' | 'endMark'

/** An entry of the log. */
export interface StoredEntry {
  readonly sequence: number
  /** `cluster/topic`. */
  readonly destination: string
  readonly acceptedAtMs: number
  readonly body: Buffer
}

export interface DecodedHeader {
  readonly kind: EntryKind
  readonly sequence: number
  /** Entries with a lower sequence were durable before this one was written. */
  readonly durableSequence: number
  readonly sizeBytes: number
}

export type DecodedEntry =
  | ({ readonly type: 'entry'; readonly entry: StoredEntry } & DecodedHeader)
  /** The header is intact, the body is not: this entry is lost. */
  | ({ readonly type: 'damagedBody' } & DecodedHeader)
  /** The header is intact, but the bytes end inside the body. */
  | { readonly type: 'incomplete'; readonly sizeBytes: number }
  /** No entry begins here. */
  | { readonly type: 'damaged' }

const DAMAGED = { type: 'damaged' } as const

export const entrySizeBytes = (destinationBytes: number, bodyBytes: number): number =>
  ENTRY_HEADER_BYTES + destinationBytes + bodyBytes

/** Writes everything except magic, sequence and CRCs, which {@link stampEntry} adds when the segment is known. */
export function writeUnstamped(
  target: Buffer,
  offset: number,
  destination: Uint8Array,
  bodyBytes: number,
  acceptedAtMs: number,
  type = RECORD_TYPE
): void {
  target[offset + 8] = type
  target[offset + 9] = 0
  target.writeUInt16BE(destination.length, offset + 10)
  target.writeUInt32BE(bodyBytes, offset + 12)
  writeUInt64(target, acceptedAtMs, offset + 24)
  target.set(destination, offset + ENTRY_HEADER_BYTES)
}

/** An unstamped entry in memory of its own. */
export function encodeEntry(destination: string, body: Uint8Array, acceptedAtMs: number): Buffer {
  const name = Buffer.from(destination)
  const sizeBytes = entrySizeBytes(name.length, body.length)
  const bytes = Buffer.alloc(sizeBytes)
  writeUnstamped(bytes, 0, name, body.length, acceptedAtMs)
  bytes.set(body, sizeBytes - body.length)
  return bytes
}

/**
 * Length of the entry at `offset`, from its header, which is not verified. Only for bytes this process wrote itself.
 */
export const unverifiedSizeBytes = (bytes: Buffer, offset: number): number =>
  entrySizeBytes(bytes.readUInt16BE(offset + 10), bytes.readUInt32BE(offset + 12))

/** The body of the entry at `offset`, which this process wrote itself. A view of `bytes`. */
export const bodyAt = (bytes: Buffer, offset: number): Buffer => {
  const end = offset + unverifiedSizeBytes(bytes, offset)
  return bytes.subarray(end - bytes.readUInt32BE(offset + 12), end)
}

export const destinationAt = (bytes: Buffer, offset: number): string =>
  bytes.toString('utf8', offset + ENTRY_HEADER_BYTES, offset + ENTRY_HEADER_BYTES + bytes.readUInt16BE(offset + 10))

/**
 * Gives the entry at `offset` its place in a segment: sequence, magic and both CRCs.
 *
 * @param unsyncedCount entries before this one that no sync has covered yet
 */
export function stampEntry(
  bytes: Buffer,
  offset: number,
  {
    sequence,
    salt,
    unsyncedCount
  }: { readonly sequence: number; readonly salt: number; readonly unsyncedCount: number }
): void {
  const headerEnd = offset + ENTRY_HEADER_BYTES + bytes.readUInt16BE(offset + 10)
  const end = headerEnd + bytes.readUInt32BE(offset + 12)
  writeUInt64(bytes, sequence, offset + 16)
  bytes.writeUInt32BE(saltedCrc(bytes.subarray(headerEnd, end), salt), offset + 32)
  bytes.writeUInt32BE(unsyncedCount, offset + 36)
  bytes.writeUInt32BE(MAGIC, offset)
  bytes.writeUInt32BE(saltedCrc(bytes.subarray(offset + 8, headerEnd), salt), offset + 4)
}

/** Reads the entry at `offset`. The body is a view of `bytes`. */
export function decodeEntry(bytes: Buffer, offset: number, salt: number): DecodedEntry {
  if (offset + ENTRY_HEADER_BYTES > bytes.length || bytes.readUInt32BE(offset) !== MAGIC) return DAMAGED
  const headerEnd = offset + ENTRY_HEADER_BYTES + bytes.readUInt16BE(offset + 10)
  if (headerEnd > bytes.length) return DAMAGED
  if (saltedCrc(bytes.subarray(offset + 8, headerEnd), salt) !== bytes.readUInt32BE(offset + 4)) return DAMAGED
  const end = headerEnd + bytes.readUInt32BE(offset + 12)
  const sizeBytes = end - offset
  if (end > bytes.length) return { type: 'incomplete', sizeBytes }
  const body = bytes.subarray(headerEnd, end)
  const sequence = readUInt64(bytes, offset + 16)
  const kind = kindOf(bytes[offset + 8]!)
  const durableSequence = sequence - bytes.readUInt32BE(offset + 36)
  if (saltedCrc(body, salt) !== bytes.readUInt32BE(offset + 32))
    return { type: 'damagedBody', kind, sequence, durableSequence, sizeBytes }
  const destination = destinationAt(bytes, offset)
  const entry = { sequence, destination, acceptedAtMs: readUInt64(bytes, offset + 24), body }
  return { type: 'entry', entry, kind, sequence, durableSequence, sizeBytes }
}

const kindOf = (type: number): EntryKind =>
  type === SEAL_TYPE ? 'seal' : type === END_MARK_TYPE ? 'endMark' : 'record'

/** The mark behind the last valid entry. The next entry takes its place and its sequence. */
export function encodeEndMark(sequence: number, salt: number, unsyncedCount: number): Buffer {
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES)
  writeUnstamped(bytes, 0, NO_DESTINATION, 0, 0, END_MARK_TYPE)
  stampEntry(bytes, 0, { sequence, salt, unsyncedCount })
  return bytes
}
