import {
  encodeJournalFrame,
  encodeJournalHeader,
  FRAME_HEADER_BYTES,
  JOURNAL_HEADER_BYTES as HEADER_BYTES,
  hasFrameBehind,
  payloadAt,
  saltedCrc,
  saltOfJournal
} from './bytes.js'
import { type LogDirectory, type LogFile, outcomesName, withFile } from './files.js'
import {
  decodeFramePayload,
  type EntryOutcome,
  encodeFramePayload,
  FRAME_TYPES,
  type OutcomeBlock,
  type OutcomeFrame,
  SequenceRanges,
  visitOutcomes
} from './outcome-frames.js'
import type { SequenceRange } from './segment.js'
import { readUInt64, writeUInt64 } from './segment-header.js'

const MAGIC = Buffer.from('CASTRCPT')
const SEAL_MAGIC = Buffer.from('CASTRCPE')
const TRAILER_BYTES = 20
/** Frames are found again by blocks of about this size. */
const BLOCK_BYTES = 64 * 1024
/** A file is scanned in pieces of this size; a frame is smaller. */
const SCAN_BYTES = 4 * 1024 * 1024

/** A file of the outcome journal: what a lookup needs to know about it. */
export interface OutcomeFile {
  readonly id: number
  readonly salt: number
  /** The length up to which its frames are whole. */
  sizeBytes: number
  /** Epoch milliseconds; 0: it has no outcomes. */
  newestAtMs: number
  readonly blocks: OutcomeBlock[]
  /** Outcomes up to this sequence were removed before it was begun. */
  expiredUpTo: number
  /** Bytes behind `sizeBytes` are damaged, not merely cut by a crash. */
  readonly isDamaged: boolean
}

/** The highest sequence that has an outcome in the file. */
export const lastSequenceOf = ({ blocks }: OutcomeFile): number =>
  blocks.reduce((most, { sequences }) => Math.max(most, sequences.last), 0)

/** The file that takes the next outcomes. */
export class OutcomeWriter {
  readonly file: OutcomeFile
  readonly #file: LogFile
  #isDirty = true

  private constructor(file: OutcomeFile, opened: LogFile) {
    this.file = file
    this.#file = opened
  }

  /** @throws when it cannot be written */
  static create(directory: LogDirectory, id: number, salt: number, expiredUpTo: number): OutcomeWriter {
    const opened = directory.open(outcomesName(id), 'create')
    opened.write(encodeJournalHeader(MAGIC, id, salt), 0)
    const file = { id, salt, sizeBytes: HEADER_BYTES, newestAtMs: 0, blocks: [], expiredUpTo, isDamaged: false }
    const writer = new OutcomeWriter(file, opened)
    writer.append({ type: 'expired', sequence: expiredUpTo }, [])
    return writer
  }

  /** @throws when it cannot be written; the file may then hold a part of the frame, and takes no more */
  append(frame: OutcomeFrame, ranges: readonly SequenceRange[]): void {
    const { file } = this
    const bytes = encodeJournalFrame(encodeFramePayload(frame), file.salt)
    this.#file.write(bytes, file.sizeBytes)
    this.#isDirty = true
    note(file, frame, file.sizeBytes, file.sizeBytes + bytes.length, ranges)
  }

  /** Makes what was written survive a power cut. @throws when that fails */
  sync(): void {
    if (!this.#isDirty) return
    this.#file.sync()
    this.#isDirty = false
  }

  /** Ends the file with its index, so that the next start need not read all of it. @throws when that fails */
  seal(): void {
    const { file } = this
    const index = { type: 'index', writtenAtMs: file.newestAtMs, blocks: file.blocks } as const
    const trailer = Buffer.alloc(TRAILER_BYTES)
    SEAL_MAGIC.copy(trailer)
    writeUInt64(trailer, file.sizeBytes, 8)
    trailer.writeUInt32BE(saltedCrc(trailer.subarray(0, 16), file.salt), 16)
    const bytes = Buffer.concat([encodeJournalFrame(encodeFramePayload(index), file.salt), trailer])
    this.#file.write(bytes, file.sizeBytes)
    this.#file.sync()
    this.#isDirty = false
    file.sizeBytes += bytes.length
  }

  close(): void {
    this.#file.close()
  }
}

/** Notes a frame that stands in the file now. */
function note(
  file: OutcomeFile,
  frame: OutcomeFrame,
  offset: number,
  endOffset: number,
  ranges: readonly SequenceRange[]
): void {
  file.sizeBytes = endOffset
  if (frame.type === 'expired') file.expiredUpTo = Math.max(file.expiredUpTo, frame.sequence)
  if (frame.type !== 'rows' && frame.type !== 'deadLetter') return
  file.newestAtMs = Math.max(file.newestAtMs, frame.writtenAtMs)
  let block = file.blocks.at(-1)
  if (block === undefined || block.endOffset !== offset || endOffset - block.offset > BLOCK_BYTES) {
    block = { offset, endOffset, sequences: new SequenceRanges() }
    file.blocks.push(block)
  }
  block.endOffset = endOffset
  for (const { first, count } of ranges) block.sequences.add(first, first + count - 1)
}

/**
 * Reads what an earlier process has left. A sealed file is known by its index; another one, which a crash leaves, is
 * read as a whole.
 *
 * @returns `undefined`: the header is damaged, or cut by a crash
 */
export function openOutcomeFile(directory: LogDirectory, id: number): OutcomeFile | 'unknownVersion' | undefined {
  return withFile(directory, outcomesName(id), opened => {
    const salt = saltOfJournal(opened.read(0, HEADER_BYTES), MAGIC)
    if (typeof salt !== 'number') return salt
    return readSeal(opened, id, salt) ?? scan(opened, id, salt)
  })
}

/** `undefined`: the file has no seal, or a damaged one. */
function readSeal(opened: LogFile, id: number, salt: number): OutcomeFile | undefined {
  const { sizeBytes } = opened
  const trailerAt = sizeBytes - TRAILER_BYTES
  if (trailerAt < HEADER_BYTES) return undefined
  const trailer = opened.read(trailerAt, TRAILER_BYTES)
  if (trailer.length < TRAILER_BYTES || !trailer.subarray(0, 8).equals(SEAL_MAGIC)) return undefined
  if (saltedCrc(trailer.subarray(0, 16), salt) !== trailer.readUInt32BE(16)) return undefined
  const indexAt = readUInt64(trailer, 8)
  if (indexAt < HEADER_BYTES || indexAt >= trailerAt) return undefined
  const index = frameAt(opened.read(indexAt, trailerAt - indexAt), 0, salt)?.frame
  if (index?.type !== 'index') return undefined
  // The first frame says which outcomes had expired when the file was begun.
  const first = frameAt(opened.read(HEADER_BYTES, FRAME_HEADER_BYTES + 16), 0, salt)?.frame
  const expiredUpTo = first?.type === 'expired' ? first.sequence : 0
  return {
    id,
    salt,
    sizeBytes,
    newestAtMs: index.writtenAtMs,
    blocks: [...index.blocks],
    expiredUpTo,
    isDamaged: false
  }
}

function scan(opened: LogFile, id: number, salt: number): OutcomeFile {
  const file: OutcomeFile = {
    id,
    salt,
    sizeBytes: HEADER_BYTES,
    newestAtMs: 0,
    blocks: [],
    expiredUpTo: 0,
    isDamaged: false
  }
  let startsAt = HEADER_BYTES
  let bytes = opened.read(startsAt, SCAN_BYTES)
  for (;;) {
    let found = frameAt(bytes, file.sizeBytes - startsAt, salt)
    if (found === undefined && file.sizeBytes > startsAt) {
      startsAt = file.sizeBytes
      bytes = opened.read(startsAt, SCAN_BYTES)
      found = frameAt(bytes, 0, salt)
    }
    if (found === undefined) return { ...file, isDamaged: hasFrameBehind(bytes, 1, salt, FRAME_TYPES) }
    const ranges: SequenceRange[] = []
    const isWhole = visitOutcomes(found.frame, ({ sequence }) => ranges.push({ first: sequence, count: 1 }))
    if (!isWhole) return { ...file, isDamaged: true }
    note(file, found.frame, file.sizeBytes, startsAt + found.end, ranges)
  }
}

/** The frame that begins at `offset`; `undefined`: none that is whole. */
function frameAt(bytes: Buffer, offset: number, salt: number): { frame: OutcomeFrame; end: number } | undefined {
  const payload = payloadAt(bytes, offset, salt)
  if (payload === undefined) return undefined
  try {
    return { frame: decodeFramePayload(payload), end: offset + FRAME_HEADER_BYTES + payload.length }
  } catch {
    return undefined
  }
}

/**
 * Calls `visit` for each outcome in a block, in the order in which they were written. Stops at damage.
 *
 * @returns false when the block is damaged
 */
export function readBlock(
  opened: LogFile,
  { salt }: OutcomeFile,
  { offset, endOffset }: OutcomeBlock,
  visit: (outcome: EntryOutcome) => void
): boolean {
  const bytes = opened.read(offset, endOffset - offset)
  for (let at = 0; at < endOffset - offset; ) {
    const found = frameAt(bytes, at, salt)
    if (found === undefined || !visitOutcomes(found.frame, visit)) return false
    at = found.end
  }
  return true
}
