import { saltedCrc } from './bytes.js'
import { journalName, type LogDirectory, type LogFile } from './files.js'
import type { SequenceRange } from './segment.js'
import { readUInt64, writeUInt64 } from './segment-header.js'

/** A completion of entries of the log, or a small value that is kept by key. */
export type Progress =
  | { readonly type: 'completed'; readonly range: SequenceRange }
  /** An empty value forgets the key. */
  | { readonly type: 'note'; readonly key: string; readonly value: Buffer }
  /** The lowest sequence and the lowest segment id that were never used. */
  | { readonly type: 'next'; readonly sequence: number; readonly segmentId: number }
  /** All entries of a segment before this sequence have been synced. */
  | { readonly type: 'synced'; readonly sequence: number; readonly segmentId: number }
  /** The segment was cut: this many entries at its end are lost. They count as completed. */
  | { readonly type: 'cut'; readonly count: number; readonly segmentId: number }

const MAGIC = Buffer.from('CASTPROG')
const VERSION = 1
const HEADER_BYTES = 32
const CRC_AT = 28
const FRAME_HEADER_BYTES = 8
const COMPLETED = 1
const NOTE = 2
const NEXT = 3
const SYNCED = 4
const CUT = 5
const KNOWN_TYPES: readonly number[] = [COMPLETED, NOTE, NEXT, SYNCED, CUT]

/** An open progress journal that this process created: frames are appended, and synced when asked. */
export class ProgressJournal {
  readonly id: number
  readonly #file: LogFile
  readonly #salt: number
  #sizeBytes: number

  private constructor(id: number, file: LogFile, salt: number, sizeBytes: number) {
    this.id = id
    this.#file = file
    this.#salt = salt
    this.#sizeBytes = sizeBytes
  }

  /** Writes a new journal that begins with `progress`, and makes it survive a power cut. */
  static create(directory: LogDirectory, id: number, salt: number, progress: Iterable<Progress>): ProgressJournal {
    const header = Buffer.alloc(HEADER_BYTES)
    MAGIC.copy(header)
    header.writeUInt16BE(VERSION, 8)
    header.writeUInt32BE(salt, 12)
    writeUInt64(header, id, 16)
    header.writeUInt32BE(saltedCrc(header.subarray(0, CRC_AT), 0), CRC_AT)
    const bytes = Buffer.concat([header, ...[...progress].map(one => encodeFrame(one, salt))])
    const file = directory.open(journalName(id), 'create')
    file.write(bytes, 0)
    file.sync()
    directory.sync()
    return new ProgressJournal(id, file, salt, bytes.length)
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  append(progress: readonly Progress[]): void {
    const bytes = Buffer.concat(progress.map(one => encodeFrame(one, this.#salt)))
    this.#file.write(bytes, this.#sizeBytes)
    this.#sizeBytes += bytes.length
  }

  sync(): void {
    this.#file.sync()
  }

  close(): void {
    this.#file.close()
  }
}

/** The contents of a journal, up to the first damaged frame. */
export interface ReadProgress {
  readonly progress: readonly Progress[]
  /** Damaged bytes behind the last valid frame, unless a crash has merely interrupted the last append. */
  readonly damagedBytes: number
}

/** @returns `unknownVersion`: another release wrote it */
export function readJournal(bytes: Buffer): ReadProgress | 'unknownVersion' {
  if (!isHeaded(bytes)) return { progress: [], damagedBytes: isUnwritten(bytes) ? 0 : bytes.length }
  if (bytes.readUInt16BE(8) !== VERSION) return 'unknownVersion'
  const salt = bytes.readUInt32BE(12)
  const progress: Progress[] = []
  let offset = HEADER_BYTES
  for (let end = frameEnd(bytes, offset, salt); end !== undefined; end = frameEnd(bytes, offset, salt)) {
    const one = decodePayload(bytes.subarray(offset + FRAME_HEADER_BYTES, end))
    if (one) progress.push(one)
    offset = end
  }
  return { progress, damagedBytes: isTorn(bytes, offset, salt) ? 0 : bytes.length - offset }
}

/** Whether its header is whole and of this release's version. */
export function isJournalOfOurs(file: LogFile): boolean {
  const header = file.read(0, HEADER_BYTES)
  return isHeaded(header) && header.readUInt16BE(8) === VERSION
}

const isHeaded = (bytes: Buffer): boolean =>
  bytes.length >= HEADER_BYTES &&
  bytes.subarray(0, 8).equals(MAGIC) &&
  saltedCrc(bytes.subarray(0, CRC_AT), 0) === bytes.readUInt32BE(CRC_AT)

/** A crash came before the header was on the disk. */
const isUnwritten = (bytes: Buffer): boolean =>
  bytes.length < HEADER_BYTES || bytes.subarray(0, HEADER_BYTES).every(byte => byte === 0)

/** `undefined`: no whole frame begins here. */
function frameEnd(bytes: Buffer, offset: number, salt: number): number | undefined {
  if (offset + FRAME_HEADER_BYTES > bytes.length) return undefined
  const start = offset + FRAME_HEADER_BYTES
  const end = start + bytes.readUInt32BE(offset)
  if (end === start || end > bytes.length) return undefined
  return saltedCrc(bytes.subarray(start, end), salt) === bytes.readUInt32BE(offset + 4) ? end : undefined
}

/** Whether the rest may be an append that a crash interrupted: no whole frame follows. */
function isTorn(bytes: Buffer, offset: number, salt: number): boolean {
  for (let at = offset; at + FRAME_HEADER_BYTES < bytes.length; at++) {
    // Looks at the checksum only where the first byte behind it is that of a known type.
    if (KNOWN_TYPES.includes(bytes[at + FRAME_HEADER_BYTES]!) && frameEnd(bytes, at, salt) !== undefined) return false
  }
  return true
}

function encodeFrame(progress: Progress, salt: number): Buffer {
  const payload = encodePayload(progress)
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt32BE(payload.length, 0)
  header.writeUInt32BE(saltedCrc(payload, salt), 4)
  return Buffer.concat([header, payload])
}

function encodePayload(progress: Progress): Buffer {
  switch (progress.type) {
    case 'completed': {
      const payload = Buffer.alloc(13)
      payload[0] = COMPLETED
      writeUInt64(payload, progress.range.first, 1)
      payload.writeUInt32BE(progress.range.count, 9)
      return payload
    }
    case 'note': {
      const key = Buffer.from(progress.key)
      const head = Buffer.alloc(3)
      head[0] = NOTE
      head.writeUInt16BE(key.length, 1)
      return Buffer.concat([head, key, progress.value])
    }
    case 'next':
      return encodeNumbers(NEXT, progress.sequence, progress.segmentId)
    case 'synced':
      return encodeNumbers(SYNCED, progress.sequence, progress.segmentId)
    case 'cut':
      return encodeNumbers(CUT, progress.count, progress.segmentId)
  }
}

function encodeNumbers(type: number, first: number, segmentId: number): Buffer {
  const payload = Buffer.alloc(17)
  payload[0] = type
  writeUInt64(payload, first, 1)
  writeUInt64(payload, segmentId, 9)
  return payload
}

/** `undefined` for a type that a later release may have written. */
function decodePayload(payload: Buffer): Progress | undefined {
  switch (payload[0]) {
    case COMPLETED:
      return { type: 'completed', range: { first: readUInt64(payload, 1), count: payload.readUInt32BE(9) } }
    case NOTE: {
      const keyEnd = 3 + payload.readUInt16BE(1)
      return { type: 'note', key: payload.toString('utf8', 3, keyEnd), value: Buffer.from(payload.subarray(keyEnd)) }
    }
    case NEXT:
      return { type: 'next', sequence: readUInt64(payload, 1), segmentId: readUInt64(payload, 9) }
    case SYNCED:
      return { type: 'synced', sequence: readUInt64(payload, 1), segmentId: readUInt64(payload, 9) }
    case CUT:
      return { type: 'cut', count: readUInt64(payload, 1), segmentId: readUInt64(payload, 9) }
    default:
      return undefined
  }
}
