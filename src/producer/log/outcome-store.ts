import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type LogDirectory, outcomesIdOf, outcomesName, tryTo, withFile } from './files.js'
import { lastSequenceOf, type OutcomeFile, OutcomeWriter, openOutcomeFile, readBlock } from './outcome-file.js'
import type { EntryOutcome, OutcomeBlock, OutcomeFrame } from './outcome-frames.js'
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
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
  /** The lowest sequence that the log has never used; 0: entries may have been lost, and their sequences be used again. */
  readonly nextSequence: number
}

/** A search for the outcomes of `count` entries from `first` on. It is made in several calls where it reads much. */
export interface OutcomeSearch extends SequenceRange {
  readonly from?: OutcomePlace | undefined
}

/** Where a search goes on. */
export interface OutcomePlace {
  readonly fileId: number
  readonly block: number
}

export interface FoundOutcomes {
  /** The newest outcome of each entry that has one. */
  readonly outcomes: readonly EntryOutcome[]
  /** Outcomes up to this sequence may have been removed, because they were old, or too many. */
  readonly expiredUpTo: number
  /** `undefined`: everything was searched. */
  readonly next: OutcomePlace | undefined
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
    let isDamaged = true
    const isRead = tryTo(() => (isDamaged = isDamagedFile(directory, name)))
    // A gateway that uses the log may remove a file meanwhile.
    return isDamaged && (isRead || directory.list().includes(name))
  })
}

function isDamagedFile(directory: LogDirectory, name: string): boolean {
  const id = outcomesIdOf(name)
  if (id === undefined) return false
  const file = openOutcomeFile(directory, id)
  if (file === 'unknownVersion') return false
  if (file === undefined) return withFile(directory, name, ({ sizeBytes }) => sizeBytes) > 0
  const isWhole = (block: OutcomeBlock): boolean =>
    withFile(directory, name, opened => readBlock(opened, file, block, () => undefined))
  return file.isDamaged || !file.blocks.every(isWhole)
}

/** Its name below the log's directory. */
export const RECEIPT_DIRECTORY = 'receipts'
const ID_NAME = 'ID'
const ID_BYTES = 8
const MIN_FILE_BYTES = 64 * 1024
const MAX_FILE_BYTES = 32 * 1024 * 1024
/** Files that share the limit: the oldest one is removed when they are too many. */
const FILE_SHARE = 1 / 16
/** Blocks that one call reads, about 2 MiB, so that the thread is soon free for appends. */
const MAX_BLOCKS = 32

/**
 * Remembers what became of completed entries, for receipts. An outcome is written before its entry is completed in the
 * log: a crash in between delivers the entry again, and its outcome is written again.
 */
export class OutcomeStore {
  /** Names the log: sequences have a meaning in this log only. */
  readonly logId: Buffer
  readonly #options: OutcomeStoreOptions
  readonly #directory: LogDirectory
  readonly #maxFileBytes: number
  /** Oldest first; the last one may be that of the writer. */
  readonly #files: OutcomeFile[] = []
  #writer: OutcomeWriter | undefined
  #nextId = 1
  #expiredUpTo = 0
  #lostOutcomes = 0
  /** Names of files in which damage was found. */
  readonly #damaged = new Set<string>()

  /** @throws when the directory cannot be used */
  constructor(options: OutcomeStoreOptions) {
    this.#options = options
    this.#directory = options.directory.directory(RECEIPT_DIRECTORY)
    this.#maxFileBytes = Math.min(MAX_FILE_BYTES, Math.max(MIN_FILE_BYTES, options.maxBytes * FILE_SHARE))
    const id = this.#readId()
    this.#openFiles()
    this.logId = id === undefined || this.#isOfOtherLog ? this.#beginAnew() : id
  }

  /** The log has begun anew, or has lost entries: its sequences have another meaning than before. */
  get #isOfOtherLog(): boolean {
    const highest = this.#files.reduce((most, file) => Math.max(most, lastSequenceOf(file)), this.#expiredUpTo)
    return highest >= this.#options.nextSequence
  }

  get sizeBytes(): number {
    return this.#files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }

  /** Outcomes that could not be written. */
  get lostOutcomes(): number {
    return this.#lostOutcomes
  }

  /** Files in which damage was found. */
  get damagedFiles(): number {
    return this.#damaged.size
  }

  get isEmpty(): boolean {
    return this.#files.every(({ newestAtMs }) => newestAtMs === 0)
  }

  /** Writes rows of outcomes. `ranges` are the sequences in them. Never throws: an outcome that is lost is unknown. */
  writeRows(rows: Buffer, ranges: readonly SequenceRange[]): void {
    this.#write({ type: 'rows', writtenAtMs: this.#options.now(), rows }, ranges)
  }

  /** Writes the outcome of one entry that is a dead letter. Never throws. */
  writeDeadLetter(outcome: EntryOutcome & { readonly type: 'deadLetter' }): void {
    const frame = { type: 'deadLetter', writtenAtMs: this.#options.now(), outcome } as const
    this.#write(frame, [{ first: outcome.sequence, count: 1 }])
  }

  /** Looks for outcomes, newest first. A damaged block is skipped: its outcomes are unknown. @throws when the disk cannot read */
  find({ first, count, from }: OutcomeSearch): FoundOutcomes {
    const last = first + count - 1
    const found = new Map<number, EntryOutcome>()
    let blocksLeft = MAX_BLOCKS
    for (const file of this.#files.toReversed()) {
      if (from !== undefined && file.id > from.fileId) continue
      const start = from?.fileId === file.id ? from.block : file.blocks.length - 1
      for (let at = start; at >= 0 && found.size < count; at--) {
        if (!file.blocks[at]!.sequences.mayHave(first, last)) continue
        if (blocksLeft-- === 0) return this.#found(found, { fileId: file.id, block: at })
        this.#readBlock(file, at, first, last, found)
      }
    }
    return this.#found(found, undefined)
  }

  #found(found: ReadonlyMap<number, EntryOutcome>, next: OutcomePlace | undefined): FoundOutcomes {
    return { outcomes: [...found.values()], expiredUpTo: this.#expiredUpTo, next }
  }

  #readBlock(file: OutcomeFile, at: number, first: number, last: number, found: Map<number, EntryOutcome>): void {
    const inBlock = new Map<number, EntryOutcome>()
    withFile(this.#directory, outcomesName(file.id), opened => {
      const isWhole = readBlock(opened, file, file.blocks[at]!, outcome => {
        if (outcome.sequence >= first && outcome.sequence <= last) inBlock.set(outcome.sequence, outcome)
      })
      if (!isWhole) this.#tellDamage(file)
    })
    for (const [sequence, outcome] of inBlock) if (!found.has(sequence)) found.set(sequence, outcome)
  }

  /** Makes everything written survive a power cut. */
  sync(): void {
    if (this.#writer !== undefined && !tryTo(() => this.#writer!.sync())) this.#giveUpWriter()
  }

  /** Called about once a second: removes what is too old. */
  tick(): void {
    const oldestMs = this.#options.now() - this.#options.retentionMs
    for (let file = this.#files[0]; file !== undefined && file.newestAtMs < oldestMs; file = this.#files[0]) {
      if (file === this.#writer?.file) {
        // A file without outcomes may stay: it says what has expired.
        if (file.newestAtMs === 0) return
        this.#sealWriter()
      } else if (file.newestAtMs === 0 && this.#files.length === 1) return
      else this.#remove(file)
    }
  }

  close(): void {
    this.#sealWriter()
  }

  #write(frame: OutcomeFrame, ranges: readonly SequenceRange[]): void {
    try {
      this.#writer ??= this.#begin()
      this.#writer.append(frame, ranges)
    } catch (error) {
      this.#giveUpWriter()
      this.#lose(error, ranges)
      return
    }
    if (this.#writer.file.sizeBytes >= this.#maxFileBytes) this.#sealWriter()
    while (this.sizeBytes > this.#options.maxBytes && this.#files[0] !== this.#writer?.file && this.#files.length > 1)
      this.#remove(this.#files[0]!)
  }

  #lose(error: unknown, ranges: readonly SequenceRange[]): void {
    if (this.#lostOutcomes === 0) {
      const message = 'outcomes of records could not be written: their receipts will say that they are unknown'
      this.#options.report({ err: error }, message)
    }
    this.#lostOutcomes += ranges.reduce((sum, { count }) => sum + count, 0)
  }

  #begin(): OutcomeWriter {
    const id = this.#nextId++
    const writer = OutcomeWriter.create(this.#directory, id, this.#options.newSalt(), this.#expiredUpTo)
    this.#files.push(writer.file)
    tryTo(() => this.#directory.sync())
    return writer
  }

  #sealWriter(): void {
    const writer = this.#writer
    this.#writer = undefined
    if (writer === undefined) return
    tryTo(() => writer.seal())
    tryTo(() => writer.close())
  }

  /** The file stays readable up to its last whole frame. */
  #giveUpWriter(): void {
    const writer = this.#writer
    this.#writer = undefined
    if (writer !== undefined) tryTo(() => writer.close())
  }

  /** What has expired is on disk before the file is gone, so that it is never taken for lost. */
  #remove(file: OutcomeFile): void {
    this.#files.splice(this.#files.indexOf(file), 1)
    const last = lastSequenceOf(file)
    if (last > this.#expiredUpTo) {
      this.#expiredUpTo = last
      this.#noteExpired()
    }
    tryTo(() => this.#directory.remove(outcomesName(file.id)))
  }

  #noteExpired(): void {
    const noted = tryTo(() => {
      if (this.#writer === undefined) this.#writer = this.#begin()
      else this.#writer.append({ type: 'expired', sequence: this.#expiredUpTo }, [])
    })
    if (!noted) this.#giveUpWriter()
  }

  #openFiles(): void {
    const ids = this.#directory.list().flatMap(name => outcomesIdOf(name) ?? [])
    for (const id of ids.toSorted((one, other) => one - other)) {
      this.#nextId = id + 1
      let file: ReturnType<typeof openOutcomeFile>
      // It may be readable at another start.
      if (!tryTo(() => (file = openOutcomeFile(this.#directory, id)))) this.#tellDamage({ id })
      else if (file === 'unknownVersion') {
        this.#options.report({ id }, 'a file of receipts was written by another release, and is not read')
      } else if (file === undefined) this.#dropHeadless(id)
      else {
        if (file.isDamaged) this.#tellDamage(file)
        this.#expiredUpTo = Math.max(this.#expiredUpTo, file.expiredUpTo)
        this.#files.push(file)
      }
    }
  }

  /** A crash came before the header was written, or damage took it. */
  #dropHeadless(id: number): void {
    const isEmpty = withFile(this.#directory, outcomesName(id), file => file.sizeBytes) === 0
    if (!isEmpty) this.#tellDamage({ id })
    tryTo(() => this.#directory.remove(outcomesName(id)))
  }

  #tellDamage({ id }: Pick<OutcomeFile, 'id'>): void {
    const file = outcomesName(id)
    if (this.#damaged.has(file)) return
    this.#damaged.add(file)
    const message = 'a file of receipts is damaged: what became of some records is not known any more'
    this.#options.report({ file }, message)
  }

  #readId(): Buffer | undefined {
    if (!this.#directory.list().includes(ID_NAME)) return undefined
    const text = withFile(this.#directory, ID_NAME, file => file.read(0, 256)).toString('latin1')
    const id = Buffer.from(/^castellan-receipts 1 ([0-9a-f]{16}) /.exec(text)?.[1] ?? '', 'hex')
    if (id.length === ID_BYTES && text === idText(id)) return id
    this.#options.report({}, 'the file ID of the receipts is damaged: receipts given before are not known any more')
    return undefined
  }

  /** Former outcomes are not looked up any more: receipts that were given before name another log. */
  #beginAnew(): Buffer {
    for (const { id } of this.#files.splice(0)) tryTo(() => this.#directory.remove(outcomesName(id)))
    this.#expiredUpTo = 0
    const id = randomBytes(ID_BYTES)
    if (this.#directory.list().includes(ID_NAME)) this.#directory.remove(ID_NAME)
    const file = this.#directory.open(ID_NAME, 'create')
    file.write(Buffer.from(idText(id)), 0)
    file.sync()
    file.close()
    this.#directory.sync()
    this.#options.directory.sync()
    return id
  }
}

const idText = (id: Buffer): string => {
  const hex = id.toString('hex')
  return `castellan-receipts 1 ${hex} ${crc32(hex).toString(16)}\n`
}
