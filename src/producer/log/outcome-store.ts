import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { groupBy } from '../../core/maps.js'
import { tryTo } from '../../core/node-errors.js'
import { VarintReader } from '../../core/varints.js'
import { FRAME_HEADER_BYTES, hasFrameBehind, JOURNAL_HEADER_BYTES, payloadAt, saltOfJournal } from './bytes.js'
import {
  expiredName,
  expiredSequenceOf,
  type LogDirectory,
  outcomesIdOf,
  placesName,
  rowsName,
  rowsNumberOf,
  withFile
} from './files.js'
import { OutcomeFile, ROWS_PER_FILE } from './outcome-file.js'
import type { EntryOutcome } from './outcomes.js'
import type { SequenceRange } from './segment.js'

/** How long and in how many bytes outcomes are kept. */
export interface OutcomeLimits {
  readonly maxBytes: number
  readonly retentionMs: number
}

export interface OutcomeStoreOptions extends OutcomeLimits {
  /** The directory of the log. */
  readonly directory: LogDirectory
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
  /** The lowest sequence that the log has never used; 0: entries may have been lost, and their sequences be used again. */
  readonly nextSequence: number
}

export interface FoundOutcomes {
  /** Outcomes by sequence. */
  readonly outcomes: ReadonlyMap<number, EntryOutcome>
  /** Outcomes up to this sequence may have been removed, because they were old, or too many. */
  readonly expiredUpTo: number
}

/**
 * Reads every outcome that is kept; changes nothing.
 *
 * @returns the names of the damaged files
 */
export function damagedOutcomeFiles(log: LogDirectory): string[] {
  const directory = log.directory(RECEIPT_DIRECTORY, true)
  if (directory === undefined) return []
  return directory.list().filter(name => {
    try {
      return !isWholeFile(directory, name)
    } catch {
      // A gateway that uses the log may remove a file meanwhile.
      return directory.list().includes(name)
    }
  })
}

function isWholeFile(directory: LogDirectory, name: string): boolean {
  const number = rowsNumberOf(name)
  if (name === ID_NAME) return idIn(directory) !== undefined
  if (number === undefined)
    return outcomesIdOf(name) === undefined || !readFormerOutcomes(bytesOf(directory, name), () => undefined)
  const file = OutcomeFile.open(directory, number, 'read')
  try {
    return file.isWhole
  } finally {
    file.close()
  }
}

const bytesOf = (directory: LogDirectory, name: string): Buffer =>
  withFile(directory, name, file => file.read(0, file.sizeBytes))

/** Directory of outcomes, below that of the log. */
export const RECEIPT_DIRECTORY = 'receipts'
const ID_NAME = 'ID'
const ID_BYTES = 8
/** Files that stay open: for the newest entries, for entries that are completed late, and for outcomes that clients ask for. */
const MAX_OPEN_FILES = 4
/** Files of former releases are taken over up to this size, newest first: they have some six million outcomes. */
const MAX_ADOPTED_BYTES = 16 * 1024 * 1024

/** A file on the disk. */
interface KeptFile {
  readonly sizeBytes: number
  /** When outcomes were written last by this process, or when it has found the file; epoch milliseconds. */
  readonly newestAtMs: number
}

/**
 * Remembers what became of completed entries, for receipts. An outcome is written before its entry is completed in the
 * log: a crash in between delivers the entry again, and its outcome is written again.
 */
export class OutcomeStore {
  /** Names the log: sequences have a meaning in this log only. */
  readonly logId: Buffer
  readonly #options: OutcomeStoreOptions
  readonly #directory: LogDirectory
  /** Files by number. */
  readonly #kept = new Map<number, KeptFile>()
  /** Size of all files, kept as a sum: it is asked for with every group of outcomes, and there may be thousands of files. */
  sizeBytes = 0
  /** Least recently used first. */
  readonly #open = new Map<number, OutcomeFile>()
  /** The highest sequence that has, or had, an outcome. */
  #highest = 0
  #expiredUpTo = 0
  /** Outcomes that could not be written. */
  lostOutcomes = 0
  /** Names of files in which damage was found. */
  readonly #damaged = new Set<string>()

  /** @throws when the directory cannot be used */
  constructor(options: OutcomeStoreOptions) {
    this.#options = options
    this.#directory = options.directory.directory(RECEIPT_DIRECTORY)
    const id = this.#readId()
    if (id !== undefined) {
      this.#findFiles()
      this.#adoptFormer()
    }
    // The log has begun again, or has lost entries: its sequences have another meaning than before.
    this.logId = id === undefined || this.#highest >= options.nextSequence ? this.#beginAnew() : id
  }

  /** Files in which damage was found. */
  get damagedFiles(): number {
    return this.#damaged.size
  }

  get isEmpty(): boolean {
    return this.#kept.size === 0
  }

  /** Writes outcomes; the last one of an entry counts. Never throws: an outcome that is lost is unknown. */
  write(outcomes: Iterable<EntryOutcome>): void {
    for (const [number, own] of groupBy(outcomes, ({ sequence }) => Math.floor(sequence / ROWS_PER_FILE))) {
      try {
        const file = this.#opened(number)
        file.write(own)
        this.#keep(number, file)
        this.#highest = own.reduce((most, { sequence }) => Math.max(most, sequence), this.#highest)
      } catch (error) {
        this.#leave(number)
        this.#lose(error, own.length)
      }
    }
    while (this.sizeBytes > this.#options.maxBytes && this.#kept.size > 1) this.#remove(this.#oldest)
  }

  /** Looks for the outcomes of entries, except of those that wait. @throws when the disk cannot read */
  find({ first, count }: SequenceRange, open: ReadonlySet<number> = new Set()): FoundOutcomes {
    const last = first + count - 1
    const outcomes = new Map<number, EntryOutcome>()
    for (let number = Math.floor(first / ROWS_PER_FILE); number <= Math.floor(last / ROWS_PER_FILE); number++) {
      if (!this.#kept.has(number)) continue
      const isDamaged = this.#opened(number).read(
        first,
        last,
        sequence => !open.has(sequence),
        outcome => outcomes.set(outcome.sequence, outcome)
      )
      if (isDamaged) this.#tellDamage(rowsName(number))
    }
    return { outcomes, expiredUpTo: this.#expiredUpTo }
  }

  #opened(number: number): OutcomeFile {
    const isNew = !this.#kept.has(number)
    const file = this.#open.get(number) ?? OutcomeFile.open(this.#directory, number, 'write')
    this.#open.delete(number)
    this.#open.set(number, file)
    if (isNew) tryTo(() => this.#directory.sync())
    if (!file.areLinesWhole) this.#tellDamage(placesName(number))
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= MAX_OPEN_FILES) break
      this.#leave(oldest)
    }
    return file
  }

  /** Closes a file. */
  #leave(number: number): void {
    const file = this.#open.get(number)
    this.#open.delete(number)
    if (file === undefined) return
    tryTo(() => file.sync())
    tryTo(() => file.close())
  }

  /** Makes everything written survive a power cut. */
  sync(): void {
    for (const [number, file] of this.#open) if (!tryTo(() => file.sync())) this.#leave(number)
  }

  /** Called about once a second: removes what is too old. */
  tick(): void {
    const oldestMs = this.#options.now() - this.#options.retentionMs
    for (const [number, { newestAtMs }] of this.#kept) if (newestAtMs < oldestMs) this.#remove(number)
  }

  close(): void {
    for (const number of [...this.#open.keys()]) this.#leave(number)
  }

  #lose(error: unknown, count: number): void {
    if (this.lostOutcomes === 0) {
      const message = 'outcomes of records could not be written: their receipts will say that they are unknown'
      this.#options.report({ err: error }, message)
    }
    this.lostOutcomes += count
  }

  /** The file that was written least recently. */
  get #oldest(): number {
    return [...this.#kept].reduce((one, other) => (other[1].newestAtMs < one[1].newestAtMs ? other : one))[0]
  }

  #keep(number: number, { sizeBytes }: OutcomeFile): void {
    this.sizeBytes += sizeBytes - (this.#kept.get(number)?.sizeBytes ?? 0)
    this.#kept.set(number, { sizeBytes, newestAtMs: this.#options.now() })
  }

  #remove(number: number): void {
    this.#leave(number)
    this.sizeBytes -= this.#kept.get(number)?.sizeBytes ?? 0
    this.#kept.delete(number)
    this.#expire(Math.min(this.#highest, (number + 1) * ROWS_PER_FILE - 1))
    for (const name of [rowsName(number), placesName(number)]) tryTo(() => this.#directory.remove(name))
  }

  /** Removes old files, after the sequence was synced up to which outcomes have expired: they must never count as lost. */
  #expire(upTo: number): void {
    if (upTo <= this.#expiredUpTo) return
    const before = this.#expiredUpTo
    this.#expiredUpTo = upTo
    tryTo(() => {
      this.#directory.open(expiredName(upTo), 'create').close()
      this.#directory.sync()
      if (before > 0) this.#directory.remove(expiredName(before))
    })
  }

  #findFiles(): void {
    for (const name of this.#directory.list())
      this.#expiredUpTo = Math.max(this.#expiredUpTo, expiredSequenceOf(name) ?? 0)
    this.#highest = this.#expiredUpTo
    const numbers = this.#directory.list().flatMap(name => rowsNumberOf(name) ?? [])
    const newest = Math.max(...numbers)
    for (const number of numbers.toSorted((one, other) => one - other)) {
      // A file that cannot be read now may be readable at another start.
      const isRead = tryTo(() => {
        const file = this.#opened(number)
        if (number === newest) this.#highest = Math.max(this.#highest, file.lastSequence)
        this.#keep(number, file)
        // Only the newest file needs to stay open: syncing all of them would be too slow.
        if (number !== newest && this.#open.delete(number)) file.close()
      })
      if (!isRead) this.#tellDamage(rowsName(number))
    }
  }

  /** Writes what a former release has left as rows. It is done again when a crash interrupts it. */
  #adoptFormer(): void {
    const names = this.#directory.list().filter(name => outcomesIdOf(name) !== undefined)
    let bytesLeft = MAX_ADOPTED_BYTES
    for (const name of names.toSorted().toReversed()) {
      let isDamaged = true
      const isRead = tryTo(() => {
        const bytes = bytesLeft > 0 ? bytesOf(this.#directory, name) : Buffer.alloc(0)
        bytesLeft -= bytes.length
        isDamaged = readFormerOutcomes(bytes, outcomes => this.write(outcomes))
      })
      if (isDamaged) this.#tellDamage(name)
      this.sync()
      // It may be readable at another start.
      if (isRead && this.lostOutcomes === 0) tryTo(() => this.#directory.remove(name))
    }
  }

  #tellDamage(file: string): void {
    if (this.#damaged.has(file)) return
    this.#damaged.add(file)
    const message = 'a file of receipts is damaged: what became of some records is not known any more'
    this.#options.report({ file }, message)
  }

  #readId(): Buffer | undefined {
    if (!this.#directory.list().includes(ID_NAME)) return undefined
    const id = idIn(this.#directory)
    const message = 'the file ID of the receipts is damaged: receipts given before are not known any more'
    if (id === undefined) this.#options.report({}, message)
    return id
  }

  /** Former outcomes are not looked up any more: receipts that were given before name another log. */
  #beginAnew(): Buffer {
    this.close()
    this.#kept.clear()
    this.sizeBytes = 0
    // A crash behind the removal of the ID begins again, too.
    for (const isId of [true, false]) {
      for (const name of this.#directory.list()) if (!isId || name === ID_NAME) this.#directory.remove(name)
      this.#directory.sync()
    }
    this.#highest = 0
    this.#expiredUpTo = 0
    const id = randomBytes(ID_BYTES)
    const file = this.#directory.open(ID_NAME, 'create')
    file.write(Buffer.from(idText(id)), 0)
    file.sync()
    file.close()
    this.#directory.sync()
    this.#options.directory.sync()
    return id
  }
}

/** `undefined`: the file is damaged. */
function idIn(directory: LogDirectory): Buffer | undefined {
  const text = withFile(directory, ID_NAME, file => file.read(0, 256)).toString('latin1')
  const id = Buffer.from(/^castellan-receipts 1 ([0-9a-f]{16}) /.exec(text)?.[1] ?? '', 'hex')
  return id.length === ID_BYTES && text === idText(id) ? id : undefined
}

const idText = (id: Buffer): string => {
  const hex = id.toString('hex')
  return `castellan-receipts 1 ${hex} ${crc32(hex).toString(16)}\n`
}

const MAGIC = Buffer.from('CASTRCPT')
const ROWS = 1
const FRAME_TYPES: readonly number[] = [ROWS, 2, 3, 4]

/**
 * Reads the delivered entries in a file of outcomes as releases before the files of rows wrote it: frames of varints.
 *
 * @param found called with the entries of each frame
 * @returns whether the file is damaged; a crash may have cut it
 */
function readFormerOutcomes(bytes: Buffer, found: (outcomes: Iterable<EntryOutcome>) => void): boolean {
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
