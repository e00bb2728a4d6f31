import type { MonotonicClock } from '../../core/model.js'
import { Availability } from './availability.js'
import { backlogOf, type DestinationBacklog } from './backlog.js'
import { type DestinationSearch, type FoundDestinations, searchDestinations } from './destination-search.js'
import type { SequenceRange } from './done-set.js'
import { LogReader } from './entry-reader.js'
import { segmentName } from './file-names.js'
import type { LogDirectory, LogFile } from './files.js'
import { checkFormat, writeFormat } from './format-file.js'
import { isFullDisk, type Refusal, refuse } from './log-error.js'
import type { StoreStats } from './log-stats.js'
import type { Progress } from './progress-journal.js'
import { ProgressRecorder } from './progress-recorder.js'
import type { ReadRequest, ReadResult } from './read-request.js'
import { completeRange, type RecoveryReport, recover } from './recovery.js'
import type { LogSegment } from './segment.js'
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-header.js'
import { SegmentIndexes } from './segment-indexes.js'
import { SegmentList } from './segment-list.js'
import { SegmentMerger } from './segment-merger.js'
import { SegmentWriter } from './segment-writer.js'
import { SpareSegments } from './spare-segments.js'
import { tryTo } from './try-to.js'

export interface LogStoreOptions {
  readonly directory: LogDirectory
  /** A segment of this size is closed and the next one begun. */
  readonly segmentBytes: number
  /** What all segments together may take on disk; appends beyond it are refused. */
  readonly maxBytes: number
  /** Free space on the disk below which appends are refused. */
  readonly minFreeBytes: number
  /** Sync every group of appends before it is acknowledged. */
  readonly syncPuts: boolean
  /** Sync completions as well. */
  readonly syncTakes: boolean
  /** What completed entries may take in segments that could be merged; an eighth of `maxBytes` when absent. */
  readonly maxWastedBytes?: number | undefined
  /** Memory for the indexes of closed segments; 32 MiB when absent. */
  readonly maxIndexBytes?: number | undefined
  /** Epoch milliseconds. */
  readonly now: () => number
  /** For pauses: the other one may be set back. */
  readonly clock: MonotonicClock
  /** A 32-bit number that no other segment of this process has, random at start. */
  readonly newSalt: () => number
  /** Something an operator should know. */
  readonly report: (fields: object, message: string) => void
}

/** Of the limit: what completed entries may take in segments that could be merged. */
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
 * The durable log, synchronous and alone with its directory: what runs on the log's thread. Decides about segments, takes
 * appends, remembers what is completed, and removes what is finished. docs/wal-format.md has the format and the order
 * of steps.
 */
export class LogStore {
  readonly recovered: RecoveryReport
  readonly #options: LogStoreOptions
  readonly #directory: LogDirectory
  readonly #segments: SegmentList
  readonly #spares: SpareSegments
  readonly #notes: Map<string, Buffer>
  readonly #indexes: SegmentIndexes
  readonly #reader: LogReader
  readonly #merger: SegmentMerger
  readonly #progress: ProgressRecorder
  readonly #availability: Availability
  #writer: SegmentWriter | undefined
  #group: Group | undefined
  /** By id of the segment: behind its last entry that was synced, of all segments there are. */
  readonly #synced: Map<number, number>
  /** Of the next entry when there is no {@link #writer}. */
  #nextSequence: number
  #nextSegmentId: number
  /** Id and valid length of the segment before the next one. */
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
    this.#nextSegmentId = found.nextSegmentId
    this.#enqueued = found.report.openEntries
    this.#damagedEntries = found.report.damagedEntries
    this.#availability = new Availability(clock)
    const last = found.segments.at(-1)
    this.#previous = { id: last?.id ?? 0, endBytes: last?.endBytes ?? 0 }
    const onDamaged = (segment: LogSegment): void => this.#damaged(segment)
    this.#indexes = new SegmentIndexes(directory, onDamaged, options.maxIndexBytes)
    for (const [segment, index] of found.indexes) this.#indexes.keep(segment, index)
    this.#spares = new SpareSegments(directory, clock)
    this.#segments = new SegmentList({
      directory,
      segments: found.segments,
      spares: this.#spares,
      minSpareBytes: options.segmentBytes / 2,
      onRemoved: segment => this.#reader.forget(segment),
      keepNext: () => this.#progress.write([this.#next()]) && this.#progress.sync(),
      syncProgress: () => this.#progress.sync()
    })
    this.#reader = new LogReader(directory, this.#segments.all, this.#indexes, onDamaged)
    this.#merger = new SegmentMerger({ ...options, segments: this.#segments, reader: this.#reader })
    this.#progress = new ProgressRecorder({ ...options, foundIds: found.journalIds, snapshot: () => this.#snapshot() })
    const isEmpty = found.segments.length + found.journalIds.length === 0
    if (!isEmpty && tryTo(() => this.#progress.renew())) this.#segments.removeFinished()
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
      segmentCount: this.#segments.all.length,
      sizeBytes: this.#sizeBytes,
      openEntries: this.#segments.openEntries,
      enqueued: this.#enqueued,
      completed: this.#completed,
      damagedEntries: this.#damagedEntries,
      syncs: this.#syncs + (this.#writer?.syncs ?? 0) + this.#progress.syncs,
      quarantinedSegments: this.recovered.quarantinedFiles.length + this.#segments.quarantinedCount
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
    if (this.#options.syncPuts && failure === undefined) this.#noteSynced(this.#writer?.segment)
    const committedCount = this.#endSequence - firstSequence
    this.#enqueued += committedCount
    return { firstSequence, committedCount, refusal: refusal ?? failure }
  }

  /** Takes note that entries need not be kept. Those that are completed already, or are not there, are passed over. */
  complete(ranges: readonly SequenceRange[]): number {
    let count = 0
    for (const range of ranges) count += completeRange(this.#segments.all, range)
    if (count === 0) return 0
    this.#completed += count
    this.#progress.write(ranges.map(range => ({ type: 'completed', range })))
    if (this.#options.syncTakes) this.#progress.sync()
    this.#segments.removeFinished()
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
    if (this.#damagedEntries > damagedBefore) this.#segments.removeFinished()
    return result
  }

  /** Who has entries that are not completed. @throws when a segment cannot be read */
  backlog(): ReadonlyMap<string, DestinationBacklog> {
    return backlogOf(this.#segments.all, this.#indexes)
  }

  /** Which destinations have entries that are not completed, from some sequence on. @throws when a segment cannot be read */
  search(request: DestinationSearch): FoundDestinations {
    return searchDestinations(this.#segments.all, this.#indexes, request)
  }

  /** Makes everything committed so far survive a power cut. Returns false when that failed. */
  sync(): boolean {
    this.#progress.sync()
    try {
      this.#writer?.sync()
      this.#noteSynced(this.#writer?.segment)
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
    this.#mergeSegments()
  }

  /** Gives disk space back that few entries hold, once that is much, or when space is short. */
  #mergeSegments(): void {
    const { maxBytes, maxWastedBytes = maxBytes / WASTED_SHARE } = this.#options
    const { wastedBytes } = this.#merger
    if (wastedBytes === 0 || this.#availability.state === 'closed') return
    if (wastedBytes <= maxWastedBytes && this.#refusalFor(0) === undefined) return
    this.#progress.sync()
    this.#merger.mergeNext()
  }

  /** Closes the open segment with a seal. */
  close(): void {
    if (this.#availability.state === 'closed') return
    if (this.#settle() === undefined) tryTo(() => this.#closeWriter())
    this.#segments.removeFinished()
    this.#spares.drop()
    this.#progress.close()
    this.#reader.close()
    this.#availability.close()
  }

  /** Behind the last entry that is in the log. */
  get #endSequence(): number {
    return this.#writer?.segment.endSequence ?? this.#nextSequence
  }

  get #sizeBytes(): number {
    return this.#segments.sizeBytes + this.#spares.sizeBytes + this.#progress.sizeBytes
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
      const end = writer.fitting(bytes, start, this.#options.segmentBytes)
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

  /** Closes the segment that is full; the next write opens another one. @throws when the disk does */
  #roll(): void {
    this.#closeWriter()
    this.#segments.removeFinished()
  }

  /** @throws when what is in the segment could not be made durable */
  #closeWriter(): void {
    const writer = this.#writer
    if (!writer) return
    writer.settle(true)
    this.#noteSynced(writer.segment)
    this.#leave(writer)
    if (!writer.seal()) {
      this.#options.report({ segment: writer.segment.name }, 'a segment of the durable log could not be sealed')
    }
    this.#indexes.closed(writer.segment)
  }

  /** A file that is cut later tells nothing of what it held. */
  #noteSynced(segment: LogSegment | undefined): void {
    if (segment === undefined || this.#synced.get(segment.id) === segment.endSequence || segment.entryCount === 0)
      return
    this.#synced.set(segment.id, segment.endSequence)
    this.#progress.mark({ type: 'synced', sequence: segment.endSequence, segmentId: segment.id })
  }

  /** Nothing is written to this segment any more. */
  #leave(writer: SegmentWriter): void {
    this.#writer = undefined
    this.#syncs += writer.syncs
    this.#nextSequence = writer.segment.endSequence
    this.#previous = { id: writer.segment.id, endBytes: writer.segment.endBytes }
  }

  #requireWriter(): SegmentWriter {
    this.#writer ??= this.#openSegment()
    return this.#writer
  }

  /** @throws when the disk does */
  #openSegment(): SegmentWriter {
    if (this.#nextSegmentId === 1) writeFormat(this.#directory)
    this.#progress.ensure()
    const header = {
      salt: this.#options.newSalt(),
      id: this.#nextSegmentId++,
      firstSequence: this.#nextSequence,
      previousId: this.#previous.id,
      previousEndBytes: this.#previous.endBytes,
      createdAtMs: this.#options.now()
    }
    const writer = new SegmentWriter(header, this.#fileFor(header))
    this.#segments.add(writer.segment)
    this.#indexes.grow(writer.segment, writer.index)
    this.#previous = { id: header.id, endBytes: SEGMENT_HEADER_BYTES }
    this.#availability.resume()
    return writer
  }

  /** A file with this header, durable under its name. @throws when the disk does */
  #fileFor(header: SegmentHeader): LogFile {
    const name = segmentName(header.id)
    const bytes = encodeSegmentHeader(header)
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
   * new segment, whose header ends the old one, makes the refusal certain.
   */
  #fail(error: unknown): Refusal {
    const kind = isFullDisk(error) ? 'full' : 'failed'
    const message = this.#availability.failed(error)
    this.#options.report({ err: error }, 'the durable log could not be written')
    const isCertain = this.#takeBack(error)
    this.#segments.removeFinished()
    return { kind, message, isCertain }
  }

  #takeBack(error: unknown): boolean {
    const failed = this.#writer
    const isCut = failed === undefined || failed.cut()
    if (failed) {
      this.#leave(failed)
      this.#indexes.closed(failed.segment)
    }
    try {
      if (isFullDisk(error) && isCut) throw error
      this.#writer = this.#openSegment()
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

  #damaged(segment: LogSegment): void {
    this.#damagedEntries++
    this.#options.report({ segment: segment.name }, 'an entry of the durable log is damaged and cannot be delivered')
  }

  #next(): Progress {
    return { type: 'next', sequence: this.#endSequence, segmentId: this.#nextSegmentId }
  }

  *#snapshot(): Generator<Progress> {
    yield this.#next()
    for (const segment of this.#segments.all) {
      for (const range of segment.completed()) yield { type: 'completed', range }
    }
    const ids = new Set(this.#segments.all.map(({ id }) => id))
    for (const [segmentId, sequence] of this.#synced) {
      if (ids.has(segmentId)) yield { type: 'synced', sequence, segmentId }
      else this.#synced.delete(segmentId)
    }
    for (const { cutCount: count, id: segmentId } of this.#segments.all)
      if (count > 0) yield { type: 'cut', count, segmentId }
    for (const [key, value] of this.#notes) yield { type: 'note', key, value }
  }
}
