import type { SequenceRange } from './done-set.js'
import { destinationAt, stampEntry, unverifiedSizeBytes } from './entry.js'
import type { LogDirectory, LogFile } from './files.js'
import { checkFormat, writeFormat } from './format-file.js'
import { isFullDisk, type Refusal } from './log-error.js'
import { LogReader, type ReadRequest, type ReadResult } from './log-reader.js'
import type { Progress } from './progress-journal.js'
import { ProgressKeeper, tryTo } from './progress-keeper.js'
import { completeRange, type RecoveryReport, recover } from './recovery.js'
import { encodeSeal } from './seal.js'
import { Slab, slabName } from './slab.js'
import { encodeSlabHeader, SLAB_HEADER_BYTES } from './slab-header.js'

export interface LogStoreOptions {
  readonly directory: LogDirectory
  /** A slab of this size is closed and the next one begun. */
  readonly slabBytes: number
  /** What all slabs together may take on disk; appends beyond it are refused. */
  readonly maxBytes: number
  /** Free space on the disk below which appends are refused. */
  readonly minFreeBytes: number
  /** Sync every group of appends before it is acknowledged. */
  readonly syncPuts: boolean
  /** Sync completions as well. */
  readonly syncTakes: boolean
  /** Epoch milliseconds. */
  readonly now: () => number
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
}

/** Whether a group of appends is in the log. Entries are taken in order: the first `committedCount` of the group are. */
export interface CommitResult {
  /** Sequence of the first entry of the group. */
  readonly firstSequence: number
  readonly committedCount: number
  /** Why the rest is not. */
  readonly refusal: Refusal | undefined
}

export interface LogStats {
  readonly state: 'ok' | 'full' | 'failed' | 'closed'
  readonly slabCount: number
  readonly sizeBytes: number
  readonly openEntries: number
  readonly damagedEntries: number
  readonly syncs: number
  readonly quarantinedSlabs: number
}

interface Active {
  readonly slab: Slab
  readonly file: LogFile
}

const RETRY_AFTER_FULL_MS = 1_000
const RETRY_AFTER_FAILURE_MS = 10_000

/**
 * The durable log, synchronous and alone with its directory: what runs on the log's thread. Decides about slabs, takes
 * appends, remembers what is completed, and removes what is finished. docs/wal-format.md has the format and the order
 * of steps.
 */
export class LogStore {
  readonly recovered: RecoveryReport
  readonly #options: LogStoreOptions
  readonly #directory: LogDirectory
  /** Rising ids and sequences; the last one may be {@link #active}. */
  readonly #slabs: Slab[]
  readonly #notes: Map<string, Buffer>
  readonly #reader: LogReader
  readonly #progress: ProgressKeeper
  #active: Active | undefined
  #nextSequence: number
  #nextSlabId: number
  /** Id and valid length of the slab before the next one. */
  #previous: { id: number; endBytes: number }
  #state: 'ok' | 'full' | 'failed' | 'closed' = 'ok'
  #retryAt = 0
  #lastError = ''
  #isDiskLow = false
  #unsynced = 0
  /** Still true after a sync that failed. */
  #isSyncing = false
  #syncs = 0
  #damagedEntries: number
  #quarantinedSlabs: number

  /**
   * Reads what the directory holds.
   *
   * @throws LogUnusableError when the directory belongs to another release or cannot be read
   */
  constructor(options: LogStoreOptions) {
    const { directory } = options
    this.#options = options
    this.#directory = directory
    checkFormat(directory)
    const found = recover(directory, () => this.#quarantine)
    this.recovered = found.report
    this.#slabs = [...found.slabs]
    this.#notes = found.notes
    this.#nextSequence = found.nextSequence
    this.#nextSlabId = found.nextSlabId
    this.#damagedEntries = found.report.damagedEntries
    this.#quarantinedSlabs = found.report.quarantinedFiles.length
    const last = this.#slabs.at(-1)
    this.#previous = { id: last?.id ?? 0, endBytes: last?.endBytes ?? 0 }
    this.#reader = new LogReader(directory, this.#slabs, slab => this.#damaged(slab))
    this.#progress = new ProgressKeeper({ ...options, foundIds: found.journalIds, snapshot: () => this.#snapshot() })
    const isEmpty = this.#slabs.length + found.journalIds.length === 0
    if (!isEmpty && tryTo(() => this.#progress.renew())) this.#removeFinished()
  }

  /** Values by key, as they were last noted. */
  get notes(): ReadonlyMap<string, Buffer> {
    return this.#notes
  }

  get stats(): LogStats {
    return {
      state: this.#refusalFor(0) === undefined || this.#state === 'closed' ? this.#state : 'full',
      slabCount: this.#slabs.length,
      sizeBytes: this.#sizeBytes,
      openEntries: this.#slabs.reduce((total, slab) => total + slab.openCount, 0),
      damagedEntries: this.#damagedEntries,
      syncs: this.#syncs + this.#progress.syncs,
      quarantinedSlabs: this.#quarantinedSlabs
    }
  }

  /** @param bytes entries one behind the other, written by `writeUnstamped`; they are stamped in place */
  commit(bytes: Buffer): CommitResult {
    const firstSequence = this.#nextSequence
    const refusal = this.#refusalFor(bytes.length)
    if (refusal) return { firstSequence, committedCount: 0, refusal }
    let runStart = 0
    try {
      for (let offset = 0; offset < bytes.length; ) {
        const sizeBytes = unverifiedSizeBytes(bytes, offset)
        if (!this.#fits(offset - runStart + sizeBytes)) {
          this.#append(bytes, runStart, offset)
          runStart = offset
          this.#roll()
        }
        const { slab } = this.#requireActive()
        stampEntry(bytes, offset, this.#nextSequence++, slab.salt)
        offset += sizeBytes
      }
      this.#append(bytes, runStart, bytes.length)
    } catch (error) {
      const committedCount = this.#countOf(bytes, runStart)
      // Sequences of refused entries are passed over, unless nothing was stamped with them in this slab.
      return { firstSequence, committedCount, refusal: this.#fail(error, firstSequence + committedCount) }
    }
    return { firstSequence, committedCount: this.#nextSequence - firstSequence, refusal: undefined }
  }

  /** Takes note that entries need not be kept. Those that are completed already, or are not there, are passed over. */
  complete(ranges: readonly SequenceRange[]): number {
    let count = 0
    for (const range of ranges) count += completeRange(this.#slabs, range)
    if (count === 0) return 0
    this.#progress.write(ranges.map(range => ({ type: 'completed', range })))
    if (this.#options.syncTakes) this.#progress.sync()
    this.#removeFinished()
    return count
  }

  /** Keeps a small value by key; an empty one forgets it. Survives the death of the process when this returns true. */
  note(key: string, value: Buffer): boolean {
    if (value.length === 0) this.#notes.delete(key)
    else this.#notes.set(key, value)
    return this.#progress.write([{ type: 'note', key, value }])
  }

  /** Entries that are not completed, in the order of their sequences. */
  read(request: ReadRequest): ReadResult {
    const damagedBefore = this.#damagedEntries
    const result = this.#reader.read(request, this.#nextSequence)
    if (this.#damagedEntries > damagedBefore) this.#removeFinished()
    return result
  }

  /** Makes everything written so far survive a power cut. Returns false when that failed. */
  sync(): boolean {
    this.#progress.sync()
    try {
      if (this.#active && this.#unsynced > 0) this.#syncActive()
      return true
    } catch (error) {
      this.#options.report({ err: error }, 'entries acknowledged without a sync may be lost at a power cut')
      this.#fail(error, this.#nextSequence)
      return false
    }
  }

  /** To be called about once a second: looks at the disk, and tries again what failed. */
  tick(): void {
    try {
      this.#isDiskLow = this.#directory.freeBytes() < this.#options.minFreeBytes
    } catch {
      this.#isDiskLow = false
    }
    this.#progress.mend()
  }

  /** Closes the open slab with a seal. */
  close(): void {
    if (this.#state === 'closed') return
    tryTo(() => this.#active && this.#closeActive())
    this.#removeFinished()
    this.#progress.close()
    this.#reader.close()
    this.#state = 'closed'
  }

  get #sizeBytes(): number {
    return this.#slabs.reduce((total, slab) => total + slab.endBytes, this.#progress.sizeBytes)
  }

  get #quarantine(): LogDirectory {
    return this.#directory.directory('quarantine')
  }

  #refusalFor(bytes: number): Refusal | undefined {
    const { maxBytes, now } = this.#options
    const refuse = (kind: Refusal['kind'], message: string): Refusal => ({ kind, message, isCertain: true })
    if (this.#state === 'closed') return refuse('closed', 'the durable log is closed')
    if (this.#state !== 'ok' && now() < this.#retryAt) return refuse(this.#state, this.#lastError)
    if (this.#sizeBytes + bytes > maxBytes)
      return refuse('full', `the durable log holds its limit of ${maxBytes} bytes`)
    if (this.#isDiskLow) return refuse('full', `the disk under ${this.#directory.path} is nearly full`)
    return undefined
  }

  #fits(moreBytes: number): boolean {
    const slab = this.#active?.slab
    return !slab || slab.entryCount === 0 || slab.endBytes + moreBytes <= this.#options.slabBytes
  }

  #requireActive(): Active {
    this.#active ??= this.#openSlab()
    return this.#active
  }

  #openSlab(): Active {
    if (this.#nextSlabId === 1) writeFormat(this.#directory)
    this.#progress.ensure()
    const id = this.#nextSlabId++
    const header = {
      salt: this.#options.newSalt(),
      id,
      firstSequence: this.#nextSequence,
      previousId: this.#previous.id,
      previousEndBytes: this.#previous.endBytes,
      createdAtMs: this.#options.now()
    }
    const file = this.#directory.create(slabName(id))
    try {
      file.write(encodeSlabHeader(header), 0)
      file.sync()
      this.#directory.sync()
    } catch (error) {
      file.close()
      tryTo(() => this.#directory.remove(slabName(id)))
      throw error
    }
    const slab = new Slab(header)
    this.#slabs.push(slab)
    this.#previous = { id, endBytes: SLAB_HEADER_BYTES }
    this.#state = 'ok'
    return { slab, file }
  }

  /** Writes stamped entries and takes note of them, once they are as durable as they will be acknowledged. */
  #append(bytes: Buffer, start: number, end: number): void {
    if (start === end) return
    const { slab, file } = this.#requireActive()
    file.write(bytes.subarray(start, end), slab.endBytes)
    this.#unsynced++
    if (this.#options.syncPuts) this.#syncActive()
    for (let offset = start; offset < end; ) {
      const sizeBytes = unverifiedSizeBytes(bytes, offset)
      slab.added(destinationAt(bytes, offset), sizeBytes)
      offset += sizeBytes
    }
    this.#previous = { id: slab.id, endBytes: slab.endBytes }
  }

  #syncActive(): void {
    this.#isSyncing = true
    this.#active!.file.sync()
    this.#isSyncing = false
    this.#syncs++
    this.#unsynced = 0
  }

  /** Closes the active slab and opens the next one. */
  #roll(): void {
    if (this.#active) this.#closeActive()
    this.#requireActive()
    this.#removeFinished()
  }

  #closeActive(): void {
    const { slab, file } = this.#active!
    this.#active = undefined
    slab.isClosed = true
    try {
      // Without a seal the slab is scanned at the next start.
      if (!tryTo(() => file.write(encodeSeal(slab), slab.endBytes))) {
        this.#options.report({ slab: slab.name }, 'a slab of the durable log could not be sealed')
      }
      if (this.#unsynced > 0 || this.#options.syncPuts) file.sync()
      this.#syncs++
      this.#unsynced = 0
    } catch (error) {
      // Of entries that were synced before nothing is lost.
      if (this.#unsynced > 0) throw error
    } finally {
      file.close()
    }
  }

  /**
   * A write or a sync failed: nothing that was not synced before is believed any more, and the file is not used again. A
   * new slab, whose header ends the old one, makes the refusal certain.
   */
  #fail(error: unknown, nextSequence: number): Refusal {
    const kind = isFullDisk(error) ? 'full' : 'failed'
    this.#lastError = `the durable log could not be written: ${(error as Error).message}`
    this.#options.report({ err: error }, 'the durable log could not be written')
    const failed = this.#active
    this.#active = undefined
    this.#unsynced = 0
    if (failed) {
      failed.slab.isClosed = true
      this.#nextSequence = Math.max(nextSequence, failed.slab.endSequence)
    } else this.#nextSequence = nextSequence
    const isCertain = this.#takeBack(failed, kind)
    this.#removeFinished()
    return { kind, message: this.#lastError, isCertain }
  }

  #takeBack(failed: Active | undefined, kind: 'full' | 'failed'): boolean {
    const isCut = failed === undefined || this.#cut(failed)
    if (kind === 'full' && isCut) {
      this.#pause('full', RETRY_AFTER_FULL_MS)
      return true
    }
    try {
      this.#active = this.#openSlab()
      return true
    } catch (error) {
      this.#pause(kind, isFullDisk(error) ? RETRY_AFTER_FULL_MS : RETRY_AFTER_FAILURE_MS)
      return isCut
    }
  }

  #pause(state: 'full' | 'failed', forMs: number): void {
    this.#state = state
    this.#retryAt = this.#options.now() + forMs
  }

  /**
   * Cuts off what was refused. A file whose sync failed is not synced again: the next sync may say that all is well. After
   * a failed write the sync also saves what was acknowledged without one.
   */
  #cut({ slab, file }: Active): boolean {
    const isCut = tryTo(() => file.truncate(slab.endBytes))
    const isSynced = !this.#isSyncing && tryTo(() => file.sync())
    this.#isSyncing = false
    tryTo(() => file.close())
    return isCut && isSynced
  }

  /** How many entries lie before `end`. */
  #countOf(bytes: Buffer, end: number): number {
    let count = 0
    for (let offset = 0; offset < end; offset += unverifiedSizeBytes(bytes, offset)) count++
    return count
  }

  #removeFinished(): void {
    for (let index = 0; index < this.#slabs.length; ) {
      const slab = this.#slabs[index]!
      const isKept = !slab.isFinished || (slab === this.#slabs.at(-1) && !this.#keepNextSequence())
      if (isKept || !tryTo(() => this.#remove(slab))) index++
      else this.#slabs.splice(index, 1)
    }
  }

  /** The newest slab tells where sequences go on; before it is removed the journal must. */
  #keepNextSequence(): boolean {
    return this.#progress.write([{ type: 'nextSequence', sequence: this.#nextSequence }]) && this.#progress.sync()
  }

  #remove(slab: Slab): void {
    this.#reader.forget(slab)
    if (slab.damagedCount === 0) this.#directory.remove(slab.name)
    else {
      this.#directory.move(slab.name, this.#quarantine)
      this.#quarantine.sync()
      this.#quarantinedSlabs++
    }
    this.#directory.sync()
  }

  #damaged(slab: Slab): void {
    this.#damagedEntries++
    this.#options.report({ slab: slab.name }, 'an entry of the durable log is damaged and cannot be delivered')
  }

  *#snapshot(): Generator<Progress> {
    yield { type: 'nextSequence', sequence: this.#nextSequence }
    for (const slab of this.#slabs) {
      for (const { first, count } of slab.done.runs()) {
        yield { type: 'completed', range: { first: slab.firstSequence + first, count } }
      }
    }
    for (const [key, value] of this.#notes) yield { type: 'note', key, value }
  }
}
