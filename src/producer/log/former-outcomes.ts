import { VarintReader } from '../../core/varints.js'
import { FRAME_HEADER_BYTES, hasFrameBehind, JOURNAL_HEADER_BYTES, payloadAt, saltOfJournal } from './bytes.js'
import type { EntryOutcome } from './outcomes.js'

const MAGIC = Buffer.from('CASTRCPT')
const ROWS = 1
const FRAME_TYPES: readonly number[] = [ROWS, 2, 3, 4]

/**
 * Reads the delivered entries in a file of outcomes as releases before the files of rows wrote it: frames of varints.
 *
 * @param found called with the entries of each frame
 * @returns whether the file is damaged; a crash may have cut it
 */
export function readFormerOutcomes(bytes: Buffer, found: (outcomes: Iterable<EntryOutcome>) => void): boolean {
  const salt = saltOfJournal(bytes, MAGIC)
  if (typeof salt !== 'number') return bytes.length > 0
  let at = JOURNAL_HEADER_BYTES
  for (let payload = payloadAt(bytes, at, salt); payload; payload = payloadAt(bytes, at, salt)) {
    if (payload[0] === ROWS) found(readRows(new VarintReader(payload, 1)))
    at += FRAME_HEADER_BYTES + payload.length
  }
  return hasFrameBehind(bytes, at + 1, salt, FRAME_TYPES)
}

function* readRows(reader: VarintReader): Generator<EntryOutcome> {
  const destinations: string[] = []
  // Where the frame was written from.
  reader.number()
  while (!reader.isAtEnd) {
    const number = reader.number()
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
