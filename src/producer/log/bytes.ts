import { crc32 } from 'node:zlib'

/**
 * CRC-32 of `bytes`, started with `seed`. An empty `bytes` gives the seed back: zlib answers 0 for some empty buffers
 * and the seed for others, depending on where they point.
 */
export const saltedCrc = (bytes: Uint8Array, seed: number): number =>
  bytes.length === 0 ? seed >>> 0 : crc32(bytes, seed)

/** Table of CRC-32 by the low byte. The high bytes of its entries all differ, so that they identify the entry. */
const STEPS = Array.from({ length: 256 }, (_, byte) => {
  let step = byte
  for (let bit = 0; bit < 8; bit++) step = step & 1 ? (step >>> 1) ^ 0xedb88320 : step >>> 1
  return step >>> 0
})
const LOW_BYTES = Uint8Array.from({ length: 256 }, (_, high) => STEPS.findIndex(step => step >>> 24 === high))

/** The seed with which {@link saltedCrc} gives `crc` for these bytes: there is one, whatever they are. */
export function saltBehind(crc: number, bytes: Uint8Array): number {
  let register = ~crc >>> 0
  for (let at = bytes.length - 1; at >= 0; at--) {
    const low = LOW_BYTES[register >>> 24]!
    register = (((register ^ STEPS[low]!) << 8) | (low ^ bytes[at]!)) >>> 0
  }
  return ~register >>> 0
}

/** Numbers in files are 64 bits wide; the ones used here stay safe integers for as long as a disk lives. */
export function writeUInt64(bytes: Buffer, value: number, offset: number): void {
  bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), offset)
  bytes.writeUInt32BE(value % 0x1_0000_0000, offset + 4)
}

export const readUInt64 = (bytes: Buffer, offset: number): number =>
  bytes.readUInt32BE(offset) * 0x1_0000_0000 + bytes.readUInt32BE(offset + 4)

/** Header of a journal: magic, version, salt, id, and their CRC. */
export const JOURNAL_HEADER_BYTES = 32
const VERSION = 1
const CRC_AT = 28

export function encodeJournalHeader(magic: Buffer, id: number, salt: number): Buffer {
  const header = Buffer.alloc(JOURNAL_HEADER_BYTES)
  magic.copy(header)
  header.writeUInt16BE(VERSION, 8)
  header.writeUInt32BE(salt, 12)
  header.writeBigUInt64BE(BigInt(id), 16)
  header.writeUInt32BE(saltedCrc(header.subarray(0, CRC_AT), 0), CRC_AT)
  return header
}

/** The salt of a journal; `undefined`: its header is damaged, or not written. */
export function saltOfJournal(bytes: Buffer, magic: Buffer): number | 'unknownVersion' | undefined {
  if (bytes.length < JOURNAL_HEADER_BYTES || !bytes.subarray(0, magic.length).equals(magic)) return undefined
  if (saltedCrc(bytes.subarray(0, CRC_AT), 0) !== bytes.readUInt32BE(CRC_AT)) return undefined
  return bytes.readUInt16BE(8) === VERSION ? bytes.readUInt32BE(12) : 'unknownVersion'
}

/** Header of a frame of a journal: length and CRC of the payload. */
export const FRAME_HEADER_BYTES = 8

export function encodeJournalFrame(payload: Buffer, salt: number): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt32BE(payload.length, 0)
  header.writeUInt32BE(saltedCrc(payload, salt), 4)
  return Buffer.concat([header, payload])
}

/** The payload of the frame that begins at `offset`; `undefined`: none that is whole. */
export function payloadAt(bytes: Buffer, offset: number, salt: number): Buffer | undefined {
  const start = offset + FRAME_HEADER_BYTES
  if (start > bytes.length) return undefined
  const end = start + bytes.readUInt32BE(offset)
  if (end === start || end > bytes.length) return undefined
  const payload = bytes.subarray(start, end)
  return saltedCrc(payload, salt) === bytes.readUInt32BE(offset + 4) ? payload : undefined
}

/** Whether whole frames follow, so that the rest is not merely an append that a crash has interrupted. */
export function hasFrameBehind(bytes: Buffer, offset: number, salt: number, types: readonly number[]): boolean {
  for (let at = offset; at + FRAME_HEADER_BYTES < bytes.length; at++) {
    // Computes the checksum only if the first byte after it is a known type.
    if (types.includes(bytes[at + FRAME_HEADER_BYTES]!) && payloadAt(bytes, at, salt) !== undefined) return true
  }
  return false
}
