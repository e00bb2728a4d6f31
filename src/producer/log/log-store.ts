import type { MonotonicClock } from '../../core/model.js'
import { Availability } from './availability.js'
import { backlogOf, type DestinationBacklog } from './backlog.js'
import { type DestinationSearch, type FoundDestinations, searchDestinations } from './destination-search.js'
import type { SequenceRange } from './done-set.js'
import { LogReader } from './entry-reader.js'
import { slabName } from './file-names.js'
import type { LogDirectory, LogFile } from './files.js'
import { checkFormat, writeFormat } from './format-file.js'
import { isFullDisk, type Refusal, refuse } from './log-error.js'
import type { StoreStats } from './log-stats.js'
import type { Progress } from './progress-journal.js'
import { ProgressKeeper } from './progress-keeper.js'
import type { ReadRequest, ReadResult } from './read-request.js'
import { completeRange, type RecoveryReport, recover } from './recovery.js'
import type { Slab } from './segment.js'
import { encodeSlabHeader, SLAB_HEADER_BYTES, type SlabHeader } from './segment-header.js'
import { SlabIndexes } from './segment-indexes.js'
import { SlabList } from './segment-list.js'
import { SlabMerger } from './segment-merger.js'
import { SlabWriter } from './segment-writer.js'
import { SpareSlabs } from './spare-segments.js'
import { tryTo } from './try-to.js'

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
  /** What completed entries may take in slabs that could be merged; an eighth of `maxBytes` when absent. */
  readonly maxWastedBytes?: number | undefined
  /** Memory for the indexes of closed slabs; 32 MiB when absent. */
  readonly maxIndexBytes?: number | undefined
  /** Epoch milliseconds. */
  readonly now: () => number
  /** For pauses: the other one may be set back. */
  readonly clock: MonotonicClock
  /** A 32-bit number that no other slab of this process has, random at start. */
  readonly newSalt: () => number
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
}

/** Of the limit: what completed entries may take in slabs that could be merged. */
const WASTED_SHARE = 8

/** Whether a group of appends is in the log. Entries are taken in order: the first `committedCount` of the group are. */
export interface CommitResult {
  /** Sequence of the first entry of the group. */
  readonly firstSequence: number
  readonly committedCount: number
  /** Why the rest is not. */
  readonly refusal: Refusal | undefined
}

/** What is staged and not committed. */
interface Group {
  readonly firstSequence: number
  refusal: Refusal | undefined
}

/**
 * The durable log, synchronous and alone with its directory: what runs on the log's thread. Decides about slabs, takes
 * appends, remembers what is completed, and removes what is finished. docs/wal-format.md has the format and the order
 * of steps.
 */
export class LogStore {
  readonly recovered: RecoveryReport
  readonly #options: LogStoreOptions
  readonly #directory: LogDirectory
  readonly #slabs: SlabList
  readonly #spares: SpareSlabs
  readonly #notes: Map<string, Buffer>
  readonly #indexes: SlabIndexes
  readonly #reader: LogReader
  readonly #merger: SlabMerger
  readonly #progress: ProgressKeeper
  readonly #availability: Availability
  #writer: SlabWriter | undefined
  #group: Group | undefined
  /** By id of the slab: behind its last entry that was synced, of all slabs there are. */
  readonly #synced: Map<number, number>
  /** Of the next entry when there is no {@link #writer}. */
  #nextSequence: number
  #nextSlabId: number
  /** Id and valid length of the slab before the next one. */
  #previous: { readonly id: number; readonly endBytes: number }
  #isDiskLow = false
  #syncs = 0
  #enqueued: number
  #completed = 0
  #damagedEntries: number

  /**
   * Reads what the directory holds.
   *
   * @throws LogUnusableError when the directory belongs to another release or cannot be read
   */
  constructor(options: LogStoreOptions) {
    const { directory, clock } = options
    this.#options = options
    this.#directory = directory
    const isFormatDamaged = checkFormat(directory)
    const found = recover(directory, () => directory.directory('quarantine'))
    this.recovered = found.report
    this.#tellDamage()
    this.#notes = found.notes
    this.#synced = new Map(found.synced)
    this.#nextSequence = found.nextSequence
    this.#nextSlabId = found.nextSlabId
    this.#enqueued = found.report.openEntries
    this.#damagedEntries = found.report.damagedEntries
    this.#availability = new Availability(clock)
    const last = found.slabs.at(-1)
    this.#previous = { id: last?.id ?? 0, endBytes: last?.endBytes ?? 0 }
    const onDamaged = (slab: Slab): void => this.#damaged(slab)
    this.#indexes = new SlabIndexes(directory, onDamaged, options.maxIndexBytes)
    for (const [slab, index] of found.indexes) this.#indexes.keep(slab, index)
    this.#spares = new SpareSlabs(directory, clock)
    this.#slabs = new SlabList({
      directory,
      slabs: found.slabs,
      spares: this.#spares,
      minSpareBytes: options.slabBytes / 2,
      onRemoved: slab => this.#reader.forget(slab),
      keepNext: () => this.#progress.write([this.#next()]) && this.#progress.sync(),
      syncProgress: () => this.#progress.sync()
    })
    this.#reader = new LogReader(directory, this.#slabs.all, this.#indexes, onDamaged)
    this.#merger = new SlabMerger({ ...options, slabs: this.#slabs, reader: this.#reader })
    this.#progress = new ProgressKeeper({ ...options, foundIds: found.journalIds, snapshot: () => this.#snapshot() })
    const isEmpty = found.slabs.length + found.journalIds.length === 0
    if (!isEmpty && tryTo(() => this.#progress.renew())) this.#slabs.removeFinished()
    if (isFormatDamaged) this.#mendFormat()
  }

  /** Values by key, as they were last noted. */
  get notes(): ReadonlyMap<string, Buffer> {
    return this.#notes
  }

  get stats(): StoreStats {
    const { state } = this.#availability
    return {
      state: state === 'ok' && this.#refusalFor(0) ? 'full' : state,
      slabCount: this.#slabs.all.length,
      sizeBytes: this.#sizeBytes,
      openEntries: this.#slabs.openEntries,
      enqueued: this.#enqueued,
      completed: this.#completed,
      damagedEntries: this.#damagedEntries,
      syncs: this.#syncs + (this.#writer?.syncs ?? 0) + this.#progress.syncs,
      quarantinedSlabs: this.recovered.quarantinedFiles.length + this.#slabs.quarantinedCount
    }
  }

  /**
   * Writes the first part of a group, or the next one. Nothing of it is in the log before {@link commit}.
   *
   * @param bytes entries one behind the other, written by `writeUnstamped`; they are stamped in place
   */
  stage(bytes: Buffer): void {
    this.#group ??= { firstSequence: this.#endSequence, refusal: undefined }
    this.#group.refusal ??= this.#refusalFor(bytes.length)
    if (this.#group.refusal) return
    try {
      this.#write(bytes)
    } catch (error) {
      this.#group.refusal = this.#fail(error)
    }
  }

  /** Writes the last part of a group, and makes the whole group as durable as the settings say. */
  commit(bytes: Buffer): CommitResult {
    this.stage(bytes)
    const { firstSequence, refusal } = this.#group!
    this.#group = undefined
    const failure = this.#settle()
    if (this.#options.syncPuts && failure === undefined) this.#noteSynced(this.#writer?.slab)
    const committedCount = this.#endSequence - firstSequence
    this.#enqueued += committedCount
    return { firstSequence, committedCount, refusal: refusal ?? failure }
  }

  /** Takes note that entries need not be kept. Those that are completed already, or are not there, are passed over. */
  complete(ranges: readonly SequenceRange[]): number {
    let count = 0
    for (const range of ranges) count += completeRange(this.#slabs.all, range)
    if (count === 0) return 0
    this.#completed += count
    this.#progress.write(ranges.map(range => ({ type: 'completed', range })))
    if (this.#options.syncTakes) this.#progress.sync()
    this.#slabs.removeFinished()
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
    const result = this.#reader.read(request, this.#endSequence)
    if (this.#damagedEntries > damagedBefore) this.#slabs.removeFinished()
    return result
  }

  /** Who has entries that are not completed. @throws when a slab cannot be read */
  backlog(): ReadonlyMap<string, DestinationBacklog> {
    return backlogOf(this.#slabs.all, this.#indexes)
  }

  /** Which destinations have entries that are not completed, from some sequence on. @throws when a slab cannot be read */
  search(request: DestinationSearch): FoundDestinations {
    return searchDestinations(this.#slabs.all, this.#indexes, request)
  }

  /** Makes everything committed so far survive a power cut. Returns false when that failed. */
  sync(): boolean {
    this.#progress.sync()
    try {
      this.#writer?.sync()
      this.#noteSynced(this.#writer?.slab)
      return true
    } catch (error) {
      this.#options.report({ err: error }, 'entries acknowledged without a sync may be lost at a power cut')
      this.#fail(error)
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
    this.#spares.tick()
    this.#progress.mend()
    this.#mergeSlabs()
  }

  /** Gives disk space back that few entries hold, once that is much, or when space is short. */
  #mergeSlabs(): void {
    const { maxBytes, maxWastedBytes = maxBytes / WASTED_SHARE } = this.#options
    const { wastedBytes } = this.#merger
    if (wastedBytes === 0 || this.#availability.state === 'closed') return
    if (wastedBytes <= maxWastedBytes && this.#refusalFor(0) === undefined) return
    this.#progress.sync()
    this.#merger.mergeNext()
  }

  /** Closes the open slab with a seal. */
  close(): void {
    if (this.#availability.state === 'closed') return
    if (this.#settle() === undefined) tryTo(() => this.#closeWriter())
    this.#slabs.removeFinished()
    this.#spares.drop()
    this.#progress.close()
    this.#reader.close()
    this.#availability.close()
  }

  /** Behind the last entry that is in the log. */
  get #endSequence(): number {
    return this.#writer?.slab.endSequence ?? this.#nextSequence
  }

  get #sizeBytes(): number {
    return this.#slabs.sizeBytes + this.#spares.sizeBytes + this.#progress.sizeBytes
  }

  #refusalFor(bytes: number): Refusal | undefined {
    const { refusal } = this.#availability
    if (refusal) return refusal
    const { maxBytes } = this.#options
    if (this.#isDiskLow || this.#sizeBytes + bytes > maxBytes) this.#spares.drop()
    if (this.#sizeBytes + bytes > maxBytes)
      return refuse('full', `the durable log holds its limit of ${maxBytes} bytes`)
    if (this.#isDiskLow) return refuse('full', `the disk under ${this.#directory.path} is nearly full`)
    return undefined
  }

  /** @throws when the disk does */
  #write(bytes: Buffer): void {
    for (let start = 0; start < bytes.length; ) {
      const writer = this.#requireWriter()
      const end = writer.fitting(bytes, start, this.#options.slabBytes)
      if (end > start) writer.write(bytes, start, end)
      else this.#roll()
      start = end
    }
  }

  /** What is written belongs to the log now. Returns why it does not. */
  #settle(): Refusal | undefined {
    try {
      this.#writer?.settle(this.#options.syncPuts)
      return undefined
    } catch (error) {
      return this.#fail(error)
    }
  }

  /** Closes the slab that is full; the next write opens another one. @throws when the disk does */
  #roll(): void {
    this.#closeWriter()
    this.#slabs.removeFinished()
  }

  /** @throws when what is in the slab could not be made durable */
  #closeWriter(): void {
    const writer = this.#writer
    if (!writer) return
    writer.settle(true)
    this.#noteSynced(writer.slab)
    this.#leave(writer)
    if (!writer.seal()) {
      this.#options.report({ slab: writer.slab.name }, 'a slab of the durable log could not be sealed')
    }
    this.#indexes.closed(writer.slab)
  }

  /** A file that is cut later tells nothing of what it held. */
  #noteSynced(slab: Slab | undefined): void {
    if (slab === undefined || this.#synced.get(slab.id) === slab.endSequence || slab.entryCount === 0) return
    this.#synced.set(slab.id, slab.endSequence)
    this.#progress.mark({ type: 'synced', sequence: slab.endSequence, slabId: slab.id })
  }

  /** Nothing is written to this slab any more. */
  #leave(writer: SlabWriter): void {
    this.#writer = undefined
    this.#syncs += writer.syncs
    this.#nextSequence = writer.slab.endSequence
    this.#previous = { id: writer.slab.id, endBytes: writer.slab.endBytes }
  }

  #requireWriter(): SlabWriter {
    this.#writer ??= this.#openSlab()
    return this.#writer
  }

  /** @throws when the disk does */
  #openSlab(): SlabWriter {
    if (this.#nextSlabId === 1) writeFormat(this.#directory)
    this.#progress.ensure()
    const header = {
      salt: this.#options.newSalt(),
      id: this.#nextSlabId++,
      firstSequence: this.#nextSequence,
      previousId: this.#previous.id,
      previousEndBytes: this.#previous.endBytes,
      createdAtMs: this.#options.now()
    }
    const writer = new SlabWriter(header, this.#fileFor(header))
    this.#slabs.add(writer.slab)
    this.#indexes.grow(writer.slab, writer.index)
    this.#previous = { id: header.id, endBytes: SLAB_HEADER_BYTES }
    this.#availability.resume()
    return writer
  }

  /** A file with this header, durable under its name. @throws when the disk does */
  #fileFor(header: SlabHeader): LogFile {
    const name = slabName(header.id)
    const bytes = encodeSlabHeader(header)
    const spare = this.#spares.reuse(name, bytes)
    const file = spare ?? this.#directory.create(name)
    try {
      if (!spare) {
        file.write(bytes, 0)
        file.sync()
      }
      this.#directory.sync()
      return file
    } catch (error) {
      file.close()
      tryTo(() => this.#directory.remove(name))
      throw error
    }
  }

  /**
   * A write or a sync failed: nothing that was not synced before is believed any more, and the file is not used again. A
   * new slab, whose header ends the old one, makes the refusal certain.
   */
  #fail(error: unknown): Refusal {
    const kind = isFullDisk(error) ? 'full' : 'failed'
    const message = this.#availability.failed(error)
    this.#options.report({ err: error }, 'the durable log could not be written')
    const isCertain = this.#takeBack(error)
    this.#slabs.removeFinished()
    return { kind, message, isCertain }
  }

  #takeBack(error: unknown): boolean {
    const failed = this.#writer
    const isCut = failed === undefined || failed.cut()
    if (failed) {
      this.#leave(failed)
      this.#indexes.closed(failed.slab)
    }
    try {
      if (isFullDisk(error) && isCut) throw error
      this.#writer = this.#openSlab()
      return true
    } catch (failure) {
      this.#availability.pause(failure)
      return isCut
    }
  }

  #mendFormat(): void {
    const message =
      'the file FORMAT of the durable log is damaged: its other files tell their format, and nothing is lost'
    this.#options.report({ directory: this.#directory.path }, message)
    tryTo(() => {
      writeFormat(this.#directory)
      this.#directory.sync()
    })
  }

  /** What was lost before this process. */
  #tellDamage(): void {
    const { report } = this.#options
    const { quarantinedFiles: files, cutEntries, damagedJournalBytes: bytes } = this.recovered
    const damagedEntries = this.recovered.damagedEntries - cutEntries
    if (files.length > 0) report({ files }, 'files of the durable log are damaged: what they hold cannot be delivered')
    if (cutEntries > 0)
      report({ cutEntries }, 'files of the durable log were cut: acknowledged entries at their ends are lost')
    if (damagedEntries > 0) report({ damagedEntries }, 'entries of the durable log are damaged and cannot be delivered')
    if (bytes > 0) report({ bytes }, 'a progress journal is damaged: records that Kafka has may be delivered again')
  }

  #damaged(slab: Slab): void {
    this.#damagedEntries++
    this.#options.report({ slab: slab.name }, 'an entry of the durable log is damaged and cannot be delivered')
  }

  #next(): Progress {
    return { type: 'next', sequence: this.#endSequence, slabId: this.#nextSlabId }
  }

  *#snapshot(): Generator<Progress> {
    yield this.#next()
    for (const slab of this.#slabs.all) {
      for (const range of slab.completed()) yield { type: 'completed', range }
    }
    const ids = new Set(this.#slabs.all.map(({ id }) => id))
    for (const [slabId, sequence] of this.#synced) {
      if (ids.has(slabId)) yield { type: 'synced', sequence, slabId }
      else this.#synced.delete(slabId)
    }
    for (const { cutCount: count, id: slabId } of this.#slabs.all) if (count > 0) yield { type: 'cut', count, slabId }
    for (const [key, value] of this.#notes) yield { type: 'note', key, value }
  }
}
