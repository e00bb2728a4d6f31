import { crc32 } from 'node:zlib'
import { saltedCrc } from './bytes.js'
import { type LogDirectory, type LogFile, placesName, rowsName } from './files.js'
import type { EntryOutcome } from './outcomes.js'

/** Sequences whose outcomes share a file. */
export const ROWS_PER_FILE = 32_768
/** No row crosses a sector of the disk: a power cut leaves all of a row, or nothing. */
const ROW_BYTES = 16
const CRC_AT = 12
const NO_ROW = Buffer.alloc(ROW_BYTES)
/** The time of a row is less than this behind the time of its place. */
const TIME_RANGE_MS = 2 ** 31
const LINE_END = 0x0a
const LINE = /^(.*) ([0-9a-f]{8})$/s

/** The part that several rows of a file share. Rows refer to their place by its number. */
type RowPlace =
  | readonly [number: number, destination: string, partition: number, sinceMs: number]
  /** A dead letter: the place of one row only. */
  | readonly [number: number, destination: string, code: string, message: string, diedAtMs: number, persisted: string]

interface KnownPlace {
  readonly place: RowPlace
  /** Checksums of its rows start with it. */
  readonly crc: number
}

/**
 * The outcomes of {@link ROWS_PER_FILE} consecutive sequences: a file of rows, one for each sequence, and a file of places, to
 * which lines are appended. docs/develop/wal-format.md draws them.
 */
export class OutcomeFile {
  readonly #number: number
  readonly #rows: LogFile
  readonly #lines: LogFile
  /** Position where the next line is written. */
  #linesEnd = 0
  readonly #places: (KnownPlace | undefined)[] = [undefined]
  /** Numbers of places of delivered records, by destination, and by partition and time. */
  readonly #numbers = new Map<string, Map<number, number>>()
  /** True from the start, because a process that crashed may not have synced its rows. */
  #areRowsDirty = true
  #areLinesDirty = true
  /** False: lines before the last whole one are damaged. */
  areLinesWhole = true

  private constructor(number: number, rows: LogFile, lines: LogFile) {
    this.#number = number
    this.#rows = rows
    this.#lines = lines
  }

  /**
   * Opens the file of the sequences from `number * ROWS_PER_FILE` on.
   *
   * @param mode `write` creates what is missing
   * @throws when the disk does
   */
  static open(directory: LogDirectory, number: number, mode: 'write' | 'read'): OutcomeFile {
    const names = directory.list()
    const opened: LogFile[] = []
    try {
      for (const name of [rowsName(number), placesName(number)])
        opened.push(directory.open(name, mode === 'write' && !names.includes(name) ? 'create' : mode))
      const file = new OutcomeFile(number, opened[0]!, opened[1]!)
      file.#readLines()
      // Removes an incomplete line that a crash has left behind the last whole one.
      if (mode === 'write' && file.#lines.sizeBytes > file.#linesEnd) file.#lines.truncate(file.#linesEnd)
      return file
    } catch (error) {
      for (const file of opened) file.close()
      throw error
    }
  }

  get sizeBytes(): number {
    return this.#rows.sizeBytes + this.#linesEnd
  }

  /** The highest sequence that has an outcome; 0: none has. @throws when the disk does */
  get lastSequence(): number {
    const last = this.#rows.read(0, ROWS_PER_FILE * ROW_BYTES).findLastIndex(byte => byte !== 0)
    return last < 0 ? 0 : this.#number * ROWS_PER_FILE + Math.floor(last / ROW_BYTES)
  }

  /**
   * Writes outcomes of sequences of this file; of several with one sequence, the last counts.
   *
   * @throws when the disk does; the file must not be used again then
   */
  write(outcomes: readonly EntryOutcome[]): void {
    const places: RowPlace[] = []
    const sorted = outcomes.toSorted((one, other) => one.sequence - other.sequence)
    const runs: { readonly first: number; readonly bytes: Buffer }[] = []
    for (let at = 0; at < sorted.length; ) {
      const first = sorted[at]!.sequence
      let end = at + 1
      while (end < sorted.length && sorted[end]!.sequence - sorted[end - 1]!.sequence <= 1) end++
      const bytes = Buffer.alloc((sorted[end - 1]!.sequence - first + 1) * ROW_BYTES)
      for (; at < end; at++) this.#encode(sorted[at]!, bytes, (sorted[at]!.sequence - first) * ROW_BYTES, places)
      runs.push({ first, bytes })
    }
    this.#areRowsDirty = true
    this.#append(places)
    for (const { first, bytes } of runs) this.#rows.write(bytes, (first % ROWS_PER_FILE) * ROW_BYTES)
  }

  #append(places: readonly RowPlace[]): void {
    if (places.length === 0) return
    this.#areLinesDirty = true
    const texts = places.map(place => JSON.stringify(place))
    const bytes = Buffer.from(texts.map(text => `${text} ${hexOf(this.#crcOf(text))}\n`).join(''))
    this.#lines.write(bytes, this.#linesEnd)
    this.#linesEnd += bytes.length
  }

  /** @param places get the place of the outcome, where it is new */
  #encode(outcome: EntryOutcome, row: Buffer, at: number, places: RowPlace[]): void {
    let number: number
    if (outcome.type === 'deadLetter') {
      const { destination, code, message, diedAtMs, persisted = '' } = outcome
      places.push([this.#places.length, destination, code, message, diedAtMs, persisted])
      number = this.#add(places.at(-1)!)
    } else {
      const { destination, partition, offset, timestampMs } = outcome
      const sinceMs = Math.floor(timestampMs / TIME_RANGE_MS) * TIME_RANGE_MS
      const known = this.#numbers.get(destination)?.get(sinceMs + partition)
      if (known === undefined) places.push([this.#places.length, destination, partition, sinceMs])
      number = known ?? this.#add(places.at(-1)!)
      row.writeUIntBE(offset + 1, at + 2, 6)
      row.writeUInt32BE(timestampMs - sinceMs, at + 8)
    }
    row.writeUInt16BE(number, at)
    row.writeUInt32BE(saltedCrc(row.subarray(at, at + CRC_AT), this.#places[number]!.crc), at + CRC_AT)
  }

  /** @returns the number of the place */
  #add(place: RowPlace): number {
    const [number, destination] = place
    this.#places[number] = { place, crc: this.#crcOf(JSON.stringify(place)) }
    if (place.length === 4) {
      const numbers = this.#numbers.get(destination) ?? new Map<number, number>()
      // Times are multiples of TIME_RANGE_MS, and partitions are below it.
      this.#numbers.set(destination, numbers.set(place[3] + place[2], number))
    }
    return number
  }

  readonly #crcOf = (text: string): number => crc32(`${this.#number} ${text}`)

  #readLines(): void {
    const bytes = this.#lines.read(0, this.#lines.sizeBytes)
    let areWhole = true
    for (let from = 0, end = bytes.indexOf(LINE_END); end >= 0; from = end + 1, end = bytes.indexOf(LINE_END, from)) {
      const [, text = '', crc] = LINE.exec(bytes.toString('utf8', from, end)) ?? []
      if (crc !== hexOf(this.#crcOf(text))) areWhole = false
      else {
        this.#add(JSON.parse(text))
        this.#linesEnd = end + 1
        // A crash cuts the end only.
        this.areLinesWhole = areWhole
      }
    }
  }

  /**
   * Reads the outcomes of a run of sequences, as far as they are in this file.
   *
   * @returns whether rows are damaged; their outcomes are unknown
   * @throws when the disk does
   */
  read(
    first: number,
    last: number,
    isWanted: (sequence: number) => boolean,
    found: (outcome: EntryOutcome) => unknown
  ): boolean {
    const start = this.#number * ROWS_PER_FILE
    const from = Math.max(0, first - start)
    const bytes = this.#rows.read(from * ROW_BYTES, (Math.min(last - start + 1, ROWS_PER_FILE) - from) * ROW_BYTES)
    let isDamaged = false
    for (let at = 0; at + ROW_BYTES <= bytes.length; at += ROW_BYTES) {
      const number = bytes.readUInt16BE(at)
      const sequence = start + from + at / ROW_BYTES
      if (!isWanted(sequence) || NO_ROW.equals(bytes.subarray(at, at + ROW_BYTES))) continue
      const known = this.#places[number]
      const crc = known && saltedCrc(bytes.subarray(at, at + CRC_AT), known.crc)
      if (crc === bytes.readUInt32BE(at + CRC_AT)) found(decode(known!.place, sequence, bytes, at))
      else isDamaged = true
    }
    return isDamaged
  }

  /** Whether all of it can be read, and its checksums are right. @throws when the disk does */
  get isWhole(): boolean {
    const every = (): boolean => true
    return this.areLinesWhole && !this.read(0, Number.MAX_SAFE_INTEGER, every, () => undefined)
  }

  /** Makes everything written survive a power cut. @throws when the disk does */
  sync(): void {
    if (!this.#areRowsDirty) return
    if (this.#areLinesDirty) this.#lines.sync()
    this.#areLinesDirty = false
    this.#rows.sync()
    this.#areRowsDirty = false
  }

  close(): void {
    this.#rows.close()
    this.#lines.close()
  }
}

const hexOf = (crc: number): string => crc.toString(16).padStart(8, '0')

function decode(place: RowPlace, sequence: number, bytes: Buffer, at: number): EntryOutcome {
  if (place.length === 4) {
    const [, destination, partition, sinceMs] = place
    const [offset, timestampMs] = [bytes.readUIntBE(at + 2, 6) - 1, sinceMs + bytes.readUInt32BE(at + 8)]
    return { type: 'delivered', sequence, destination, partition, offset, timestampMs }
  }
  const [, destination, code, message, diedAtMs, persisted] = place
  const further = persisted === 'no' || persisted === 'unknown' ? ({ persisted } as const) : {}
  return { type: 'deadLetter', sequence, destination, code, message, diedAtMs, ...further }
}
