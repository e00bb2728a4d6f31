import { tryTo } from '../../core/node-errors.js'
import {
  encodeJournalFrame,
  encodeJournalHeader,
  FRAME_HEADER_BYTES,
  hasFrameBehind,
  JOURNAL_HEADER_BYTES,
  payloadAt,
  readUInt64,
  saltOfJournal,
  writeUInt64
} from './bytes.js'
import { journalName, type LogDirectory, type LogFile } from './files.js'
import type { SequenceRange } from './segment.js'

/** A completion of entries of the log, or a small value that is kept by key. */
export type LogProgress =
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

/** A file of the journal that takes frames. */
interface JournalFile {
  readonly id: number
  readonly salt: number
  readonly file: LogFile
  sizeBytes: number
}

const framesOf = (progress: Iterable<LogProgress>, salt: number): Buffer[] =>
  [...progress].map(one => encodeJournalFrame(encodePayload(one), salt))

/** Writes a new file that begins with `progress`, and makes it survive a power cut. @throws when the disk does */
export function createJournalFile(
  directory: LogDirectory,
  id: number,
  salt: number,
  progress: Iterable<LogProgress>
): JournalFile {
  const bytes = Buffer.concat([encodeJournalHeader(MAGIC, id, salt), ...framesOf(progress, salt)])
  const file = directory.open(journalName(id), 'create')
  file.write(bytes, 0)
  file.sync()
  directory.sync()
  return { id, salt, file, sizeBytes: bytes.length }
}

interface ProgressJournalOptions {
  readonly directory: LogDirectory
  /** Size limit of the whole log. */
  readonly maxBytes: number
  /** Ids of the files that were found; a new one replaces them. */
  readonly foundIds: readonly number[]
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** The current state, as a new journal begins with it. */
  readonly snapshot: () => Iterable<LogProgress>
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
}

/** A file that grew by this, and to twice its first size, is replaced by a new one. */
const MAX_GROWTH_BYTES = 16 * 1024 * 1024
/** Share of the log's limit by which the journal may grow, so that the journal of a small log stays small. */
const GROWTH_SHARE = 1 / 8

/**
 * Writes the progress journal, which is one file at a time; it begins with a snapshot of the state. What cannot be written
 * is kept in memory until a new file is written.
 */
export class ProgressJournal {
  readonly #options: ProgressJournalOptions
  #current: JournalFile | undefined
  #nextId: number
  #maxBytes = 0
  /** Files that are removed once a new journal is written. */
  #old: string[]
  syncs = 0

  constructor(options: ProgressJournalOptions) {
    this.#options = options
    this.#old = options.foundIds.map(journalName)
    this.#nextId = (options.foundIds.at(-1) ?? 0) + 1
  }

  get sizeBytes(): number {
    return this.#current?.sizeBytes ?? 0
  }

  /** @returns false when it could not be written, and will be lost in a crash */
  write(progress: readonly LogProgress[]): boolean {
    try {
      if (!this.#current) this.renew()
      this.#append(progress)
      return true
    } catch (error) {
      this.#break(error)
      return false
    }
  }

  /** Writes an entry that may be lost: a failure is ignored. */
  mark(progress: LogProgress): void {
    if (this.#current !== undefined) tryTo(() => this.#append([progress]))
  }

  #append(progress: readonly LogProgress[]): void {
    const current = this.#current!
    const bytes = Buffer.concat(framesOf(progress, current.salt))
    current.file.write(bytes, current.sizeBytes)
    current.sizeBytes += bytes.length
    if (current.sizeBytes > this.#maxBytes) this.renew()
  }

  /** Makes everything written survive a power cut. */
  sync(): boolean {
    if (!this.#current) return false
    try {
      this.#current.file.sync()
      this.syncs++
      return true
    } catch (error) {
      this.#break(error)
      return false
    }
  }

  /** Writes a new journal after a failure. */
  mend(): void {
    if (!this.#current && this.#old.length > 0) tryTo(() => this.renew())
  }

  /** Makes sure that a journal is open. @throws when it cannot be written */
  ensure(): void {
    if (!this.#current) this.renew()
  }

  /** Writes the current state into a new journal, and removes the old ones. @throws when it cannot be written */
  renew(): void {
    const { directory, maxBytes, newSalt, snapshot } = this.#options
    const old = this.#current
    const id = this.#nextId++
    try {
      this.#current = createJournalFile(directory, id, newSalt(), snapshot())
    } catch (error) {
      tryTo(() => directory.remove(journalName(id)))
      throw error
    }
    // A snapshot may be large, so it must not be written too often.
    const growthBytes = Math.min(maxBytes * GROWTH_SHARE, MAX_GROWTH_BYTES)
    this.#maxBytes = this.#current.sizeBytes + Math.max(this.#current.sizeBytes, growthBytes)
    if (old) this.#giveUp(old)
    this.#old = this.#old.filter(name => !tryTo(() => directory.remove(name)))
    tryTo(() => directory.sync())
  }

  close(): void {
    this.sync()
    this.#current?.file.close()
    this.#current = undefined
    this.#old = []
  }

  #break(error: unknown): void {
    this.#options.report({ err: error }, 'completions could not be written; they may be delivered again after a crash')
    const current = this.#current
    this.#current = undefined
    if (current) this.#giveUp(current)
  }

  #giveUp({ id, file }: JournalFile): void {
    this.#old.push(journalName(id))
    tryTo(() => file.close())
  }
}

/** The contents of a journal, up to the first damaged frame. */
export interface ReadProgress {
  readonly progress: readonly LogProgress[]
  /** Damaged bytes behind the last valid frame, unless a crash has merely interrupted the last append. */
  readonly damagedBytes: number
}

/** @returns `unknownVersion`: another release wrote it */
export function readJournal(bytes: Buffer): ReadProgress | 'unknownVersion' {
  const salt = saltOfJournal(bytes, MAGIC)
  if (salt === 'unknownVersion') return salt
  if (salt === undefined) return { progress: [], damagedBytes: isUnwritten(bytes) ? 0 : bytes.length }
  const progress: LogProgress[] = []
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

/** A crash came before the header was on the disk. */
const isUnwritten = (bytes: Buffer): boolean =>
  bytes.length < JOURNAL_HEADER_BYTES || bytes.subarray(0, JOURNAL_HEADER_BYTES).every(byte => byte === 0)

function encodePayload(progress: LogProgress): Buffer {
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
function decodePayload(payload: Buffer): LogProgress | undefined {
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
