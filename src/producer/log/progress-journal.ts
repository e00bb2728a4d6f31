import {
  encodeJournalFrame,
  encodeJournalHeader,
  FRAME_HEADER_BYTES,
  hasFrameBehind,
  JOURNAL_HEADER_BYTES,
  payloadAt,
  saltOfJournal
} from './bytes.js'
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
    const header = encodeJournalHeader(MAGIC, id, salt)
    const bytes = Buffer.concat([header, ...[...progress].map(one => encodeJournalFrame(encodePayload(one), salt))])
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
    const bytes = Buffer.concat(progress.map(one => encodeJournalFrame(encodePayload(one), this.#salt)))
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
  const salt = saltOfJournal(bytes, MAGIC)
  if (salt === 'unknownVersion') return salt
  if (salt === undefined) return { progress: [], damagedBytes: isUnwritten(bytes) ? 0 : bytes.length }
  const progress: Progress[] = []
  let offset = JOURNAL_HEADER_BYTES
  for (let payload = payloadAt(bytes, offset, salt); payload; payload = payloadAt(bytes, offset, salt)) {
    const one = decodePayload(payload)
    if (one) progress.push(one)
    offset += FRAME_HEADER_BYTES + payload.length
  }
  return { progress, damagedBytes: hasFrameBehind(bytes, offset, salt, KNOWN_TYPES) ? bytes.length - offset : 0 }
}

/** The salt of a journal whose header is whole and of this release's version. */
export function saltOfProgress(bytes: Buffer): number | undefined {
  const salt = saltOfJournal(bytes, MAGIC)
  return typeof salt === 'number' ? salt : undefined
}

/** Whether its header is whole and of this release's version. */
export const isJournalOfOurs = (file: LogFile): boolean =>
  saltOfProgress(file.read(0, JOURNAL_HEADER_BYTES)) !== undefined

/** A crash came before the header was on the disk. */
const isUnwritten = (bytes: Buffer): boolean =>
  bytes.length < JOURNAL_HEADER_BYTES || bytes.subarray(0, JOURNAL_HEADER_BYTES).every(byte => byte === 0)

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
