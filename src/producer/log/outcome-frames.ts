import type { Persisted } from '../../core/model.js'
import { VarintReader, VarintWriter } from '../../core/varints.js'

/** Where Kafka has a record. */
export interface RecordPlace {
  readonly partition: number
  /** -1: unknown. */
  readonly offset: number
  readonly timestampMs: number
}

/** What became of one entry of the log. */
export type EntryOutcome = { readonly sequence: number; readonly destination: string } & (
  | ({ readonly type: 'delivered' } & RecordPlace)
  | {
      readonly type: 'deadLetter'
      readonly code: string
      readonly message: string
      readonly diedAtMs: number
      /** Whether Kafka may have it from an earlier attempt; absent in files of earlier versions. */
      readonly persisted?: Persisted | undefined
    }
)

/** A run of entries in one partition; ended by a distance of 0. */
interface Row {
  readonly destination: string
  readonly partition: number
  nextOffset: number
  lastSequence: number
  lastTimestampMs: number
}

/**
 * Gathers where Kafka has records, as runs: consecutive offsets of one partition cost two or three bytes each.
 *
 *   row       destination: number | its name, where the number is new | partition | offset + 1 | timestamp | sequence
 *             then per further record: distance of the sequence | change of the timestamp; 0 ends the row
 */
export class OutcomeRows {
  readonly #writer = new VarintWriter()
  readonly #numbers = new Map<string, number>()
  #row: Row | undefined

  get isEmpty(): boolean {
    return this.#writer.length === 0
  }

  add(destination: string, sequence: number, { partition, offset, timestampMs }: RecordPlace): void {
    const row = this.#row
    const writer = this.#writer
    if (
      row !== undefined &&
      row.partition === partition &&
      row.nextOffset === offset &&
      row.lastSequence < sequence &&
      row.destination === destination
    ) {
      writer.number(sequence - row.lastSequence)
      writer.signed(timestampMs - row.lastTimestampMs)
      row.lastSequence = sequence
      row.lastTimestampMs = timestampMs
      if (offset >= 0) row.nextOffset++
      return
    }
    this.#endRow()
    this.#beginRow(destination)
    writer.number(partition)
    writer.number(offset + 1)
    writer.signed(timestampMs)
    writer.number(sequence)
    const nextOffset = offset < 0 ? offset : offset + 1
    this.#row = { destination, partition, nextOffset, lastSequence: sequence, lastTimestampMs: timestampMs }
  }

  /** The rows since the last call. */
  take(): Buffer {
    this.#endRow()
    this.#numbers.clear()
    return this.#writer.take()
  }

  #beginRow(destination: string): void {
    let number = this.#numbers.get(destination)
    if (number === undefined) {
      number = this.#numbers.size
      this.#numbers.set(destination, number)
      this.#writer.number(number)
      this.#writer.text(destination)
    } else this.#writer.number(number)
  }

  #endRow(): void {
    if (this.#row !== undefined) this.#writer.byte(0)
    this.#row = undefined
  }
}

/** Calls `visit` for each record of rows. @throws RangeError when the bytes are no rows */
function readRows(reader: VarintReader, visit: (outcome: EntryOutcome & { type: 'delivered' }) => void): void {
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
      visit({ type: 'delivered', sequence, destination, partition, offset, timestampMs })
      const distance = reader.number()
      if (distance === 0) break
      sequence += distance
      timestampMs += reader.signed()
      if (offset >= 0) offset++
    }
  }
}

/** One frame of the outcome journal. */
export type OutcomeFrame =
  /** Rows of {@link OutcomeRows}, and when they were written. */
  | { readonly type: 'rows'; readonly writtenAtMs: number; readonly rows: Buffer }
  | {
      readonly type: 'deadLetter'
      readonly writtenAtMs: number
      readonly outcome: EntryOutcome & { readonly type: 'deadLetter' }
    }
  /** Outcomes up to this sequence may have been removed with older files. */
  | { readonly type: 'expired'; readonly sequence: number }
  /** The blocks of the file, in its seal. */
  | { readonly type: 'index'; readonly writtenAtMs: number; readonly blocks: readonly OutcomeBlock[] }

/** Consecutive frames of a file, and the sequences that may be in them. */
export interface OutcomeBlock {
  readonly offset: number
  endOffset: number
  readonly sequences: SequenceRanges
}

const ROWS = 1
const DEAD_LETTER = 2
const EXPIRED = 3
const INDEX = 4
/** The types of frames that are searched for after damage. */
export const FRAME_TYPES: readonly number[] = [ROWS, DEAD_LETTER, EXPIRED, INDEX]

export function encodeFramePayload(frame: OutcomeFrame): Buffer {
  const writer = new VarintWriter()
  if (frame.type === 'expired') {
    writer.byte(EXPIRED)
    writer.number(frame.sequence)
    return writer.take()
  }
  writer.byte(frame.type === 'rows' ? ROWS : frame.type === 'deadLetter' ? DEAD_LETTER : INDEX)
  writer.number(frame.writtenAtMs)
  if (frame.type === 'rows') return Buffer.concat([writer.take(), frame.rows])
  if (frame.type === 'deadLetter') {
    const { sequence, diedAtMs, destination, code, message } = frame.outcome
    writer.number(sequence)
    writer.number(diedAtMs)
    for (const text of [destination, code, message, frame.outcome.persisted ?? '']) writer.text(text)
  } else {
    for (const { offset, endOffset, sequences } of frame.blocks) {
      writer.number(offset)
      writer.number(endOffset - offset)
      sequences.write(writer)
    }
  }
  return writer.take()
}

const persistedIn = (text: string): { readonly persisted?: Persisted } =>
  text === 'no' || text === 'unknown' ? { persisted: text } : {}

/** @throws RangeError when the payload has an unknown type, or is cut */
export function decodeFramePayload(payload: Buffer): OutcomeFrame {
  const reader = new VarintReader(payload)
  const type = reader.byte()
  const first = reader.number()
  switch (type) {
    case ROWS:
      return { type: 'rows', writtenAtMs: first, rows: payload.subarray(reader.offset) }
    case DEAD_LETTER: {
      const [sequence, diedAtMs] = [reader.number(), reader.number()]
      const [destination, code, message] = [reader.text(), reader.text(), reader.text()]
      const further = persistedIn(reader.isAtEnd ? '' : reader.text())
      const outcome = { type: 'deadLetter', sequence, diedAtMs, destination, code, message, ...further } as const
      return { type: 'deadLetter', writtenAtMs: first, outcome }
    }
    case EXPIRED:
      return { type: 'expired', sequence: first }
    case INDEX: {
      const blocks: OutcomeBlock[] = []
      while (!reader.isAtEnd) {
        const offset = reader.number()
        blocks.push({ offset, endOffset: offset + reader.number(), sequences: SequenceRanges.read(reader) })
      }
      return { type: 'index', writtenAtMs: first, blocks }
    }
    default:
      throw new RangeError('a frame has an unknown type')
  }
}

/** Calls `visit` for each outcome in a frame. @returns false when its rows are damaged */
export function visitOutcomes(frame: OutcomeFrame, visit: (outcome: EntryOutcome) => void): boolean {
  if (frame.type === 'deadLetter') visit(frame.outcome)
  if (frame.type !== 'rows') return true
  try {
    readRows(new VarintReader(frame.rows), visit)
    return true
  } catch {
    return false
  }
}

/** Ranges that lie closer together than this become one. */
const MIN_GAP = 256
/** More ranges are made fewer by closing the smallest gap. */
const MAX_RANGES = 16

interface Range {
  first: number
  last: number
}

/**
 * Sequences, roughly: at most 16 ranges that contain all of them, and perhaps others. Almost all outcomes come in the
 * order of their sequences; those of a partition that was stuck come late, and get ranges of their own.
 */
export class SequenceRanges {
  readonly #ranges: Range[] = []

  add(first: number, last: number): void {
    const at = this.#ranges.findLastIndex(range => range.first <= first)
    const before = this.#ranges[at]
    if (before !== undefined && first - before.last <= MIN_GAP) before.last = Math.max(before.last, last)
    else this.#ranges.splice(at + 1, 0, { first, last })
    this.#merge()
  }

  /** Whether one of these sequences may be among them. */
  mayHave(first: number, last: number): boolean {
    return this.#ranges.some(range => range.first <= last && range.last >= first)
  }

  /** The highest sequence; 0: there is none. */
  get last(): number {
    return this.#ranges.at(-1)?.last ?? 0
  }

  write(writer: VarintWriter): void {
    writer.number(this.#ranges.length)
    for (const { first, last } of this.#ranges) {
      writer.number(first)
      writer.number(last - first)
    }
  }

  /** @throws RangeError */
  static read(reader: VarintReader): SequenceRanges {
    const ranges = new SequenceRanges()
    for (let count = reader.number(); count > 0; count--) {
      const first = reader.number()
      ranges.add(first, first + reader.number())
    }
    return ranges
  }

  /** Closes gaps that are small, and the smallest one while there are too many ranges. */
  #merge(): void {
    const ranges = this.#ranges
    for (let at = ranges.length - 1; at > 0; at--) if (this.#gapBefore(at) <= MIN_GAP) this.#close(at)
    while (ranges.length > MAX_RANGES) {
      let smallest = 1
      for (let at = 2; at < ranges.length; at++) if (this.#gapBefore(at) < this.#gapBefore(smallest)) smallest = at
      this.#close(smallest)
    }
  }

  #gapBefore(at: number): number {
    return this.#ranges[at]!.first - this.#ranges[at - 1]!.last
  }

  #close(at: number): void {
    const [range] = this.#ranges.splice(at, 1)
    const before = this.#ranges[at - 1]!
    before.last = Math.max(before.last, range!.last)
  }
}
