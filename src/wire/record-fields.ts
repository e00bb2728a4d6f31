import { DamagedRecordsError } from './record-cursor.js'

/**
 * The quick way through records: a position kept beside the functions rather than in an object, and no look at the end
 * of the bytes at every step. Safe because beyond the end a buffer reads as `undefined`, which these take for a number
 * that goes on, and numbers that go on too long are refused; whoever indexes a record compares the position behind it
 * with the end it named. Nothing else runs between two uses, so one position is enough.
 */
let position = 0

export const seek = (at: number): void => {
  position = at
}
export const tell = (): number => position
export const skip = (bytes: number): void => {
  position += bytes
}

const unzigzag = (raw: number): number => (raw >>> 1) ^ -(raw & 1)

/** @throws DamagedRecordsError when it goes on for more than five bytes */
export function readVarint(bytes: Buffer): number {
  const first = bytes[position++]!
  if (first < 0x80) return unzigzag(first)
  const second = bytes[position++]!
  if (second < 0x80) return unzigzag((first & 0x7f) | (second << 7))
  return readLongVarint(bytes, (first & 0x7f) | ((second & 0x7f) << 7))
}

function readLongVarint(bytes: Buffer, raw: number): number {
  for (let shift = 14; shift < 35; shift += 7) {
    const byte = bytes[position++]!
    raw |= (byte & 0x7f) << shift
    if (byte < 0x80) return unzigzag(raw)
  }
  throw tooLong()
}

const TWO_POW_31 = 2 ** 31

/**
 * Exact up to 2^53, far beyond any timestamp.
 *
 * @throws DamagedRecordsError when it goes on for more than ten bytes
 */
export function readVarlong(bytes: Buffer): number {
  const first = bytes[position++]!
  if (first < 0x80) return unzigzag(first)
  let raw = first & 0x7f
  for (let shift = 7; shift < 70; shift += 7) {
    const byte = bytes[position++]!
    raw += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return raw < TWO_POW_31 ? unzigzag(raw) : raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
  }
  throw tooLong()
}

const tooLong = (): DamagedRecordsError => new DamagedRecordsError('a number in a record is cut or too long')

/** Passes a key or value: its length, -1 for null, and its bytes. */
export function skipBytes(bytes: Buffer): void {
  const length = readVarint(bytes)
  if (length > 0) position += length
  else if (length < -1) throw new DamagedRecordsError('a key or value has a negative length')
}

/** A key or value: a view. */
export function readBytes(bytes: Buffer): Buffer | null {
  const length = readVarint(bytes)
  if (length < 0) return null
  const start = position
  position = start + length
  return bytes.subarray(start, position)
}
