import { VarintReader } from '../../core/varints.js'
import { FRAME_HEADER_BYTES, hasFrameBehind, JOURNAL_HEADER_BYTES, payloadAt, saltOfJournal } from './bytes.js'
import type { EntryOutcome } from './outcomes.js'

const MAGIC = Buffer.from('CASTRCPT')
const ROWS = 1
const DEAD_LETTER = 2
const EXPIRED = 3
const FRAME_TYPES: readonly number[] = [ROWS, DEAD_LETTER, EXPIRED, 4]

/** What a frame of a former file of outcomes holds. */
export interface FormerFrame {
  readonly outcomes: readonly EntryOutcome[]
  /** Outcomes up to this sequence may have been removed; 0: it says nothing of that. */
  readonly expiredUpTo: number
}

/**
 * Reads a file of outcomes as releases before the files of rows wrote them: frames of varints.
 *
 * @returns at the end, whether the file is damaged; a crash may have cut it
 */
export function* formerFrames(bytes: Buffer): Generator<FormerFrame, boolean> {
  const salt = saltOfJournal(bytes, MAGIC)
  if (typeof salt !== 'number') return bytes.length > 0
  let at = JOURNAL_HEADER_BYTES
  for (let payload = payloadAt(bytes, at, salt); payload; payload = payloadAt(bytes, at, salt)) {
    const frame = decode(payload)
    if (frame === undefined) return true
    yield frame
    at += FRAME_HEADER_BYTES + payload.length
  }
  return hasFrameBehind(bytes, at + 1, salt, FRAME_TYPES)
}

/** `undefined`: it is damaged. */
function decode(payload: Buffer): FormerFrame | undefined {
  try {
    const reader = new VarintReader(payload)
    const type = reader.byte()
    const first = reader.number()
    if (type === EXPIRED) return { outcomes: [], expiredUpTo: first }
    const outcomes = type === ROWS ? [...readRows(reader)] : type === DEAD_LETTER ? [readDeadLetter(reader)] : []
    return { outcomes, expiredUpTo: 0 }
  } catch {
    return undefined
  }
}

function* readRows(reader: VarintReader): Generator<EntryOutcome> {
  const destinations: string[] = []
  while (!reader.isAtEnd) {
    const number = reader.number()
    if (number > destinations.length) throw new RangeError('a destination has no name')
    if (number === destinations.length) destinations.push(reader.text())
    const destination = destinations[number]!
    const partition = reader.number()
    let offset = reader.number() - 1
    let timestampMs = reader.signed()
    let sequence = reader.number()
    for (;;) {
      yield { type: 'delivered', sequence, destination, partition, offset, timestampMs }
      const distance = reader.number()
      if (distance === 0) break
      sequence += distance
      timestampMs += reader.signed()
      if (offset >= 0) offset++
    }
  }
}

function readDeadLetter(reader: VarintReader): EntryOutcome {
  const [sequence, diedAtMs] = [reader.number(), reader.number()]
  const [destination, code, message] = [reader.text(), reader.text(), reader.text()]
  const persisted = reader.isAtEnd ? '' : reader.text()
  const further = persisted === 'no' || persisted === 'unknown' ? ({ persisted } as const) : {}
  return { type: 'deadLetter', sequence, destination, code, message, diedAtMs, ...further }
}
