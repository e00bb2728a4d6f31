import { toBuffer } from '../../core/bytes.js'
import type { MonotonicClock } from '../../core/model.js'
import { tryTo } from '../../core/node-errors.js'
import { Availability, type LogRefusal, refuse, type StoreStats } from './availability.js'
import {
  backlogOf,
  type DestinationBacklog,
  type DestinationSearch,
  type FoundDestinations,
  type OpenEntry,
  openBetween,
  openRunsBetween,
  searchDestinations
} from './backlog.js'
import { LogReader, type LogReadRequest, type ReadEntries } from './entry-reader.js'
import { type LogDirectory, withFile } from './files.js'
import { checkFormat, writeFormat } from './format-file.js'
import { LogAppender, type LogAppenderOptions } from './log-appender.js'
import { type FoundOutcomes, type OutcomeLimits, OutcomeStore } from './outcome-store.js'
import { type DeliveredRows, type EntryOutcome, outcomesIn } from './outcomes.js'
import { type LogProgress, ProgressJournal } from './progress-journal.js'
import { type Recovered, type RecoveryReport, recover, tidy } from './recovery.js'
import { completeRange, type LogSegment, type SequenceRange } from './segment.js'
import { SegmentIndexes } from './segment-indexes.js'
import { SegmentList, SpareSegments } from './segment-list.js'
import { SegmentMerger } from './segment-merger.js'
import { readTrailer } from './segment-writer.js'
import { UnreadableSegment } from './unreadable.js'

export interface LogStoreOptions extends LogAppenderOptions {
  /** Disk space for all segments together; appends beyond it are refused. */
  readonly maxBytes: number
  /** Free space on the disk below which appends are refused. */
  readonly minFreeBytes: number
  /** Sync completions, too. */
  readonly syncTakes: boolean
  /** Disk space that completed entries may take in segments that could be merged; absent: an eighth of `maxBytes`. */
  readonly maxWastedBytes?: number | undefined
  /** Memory for the indexes of closed segments; 32 MiB when absent. */
  readonly maxIndexBytes?: number | undefined
  /** Measures pauses, because the clock of the system may be set back. */
  readonly clock: MonotonicClock
  /** How long the outcomes of completed entries are kept. Absent: they are not kept. */
  readonly receipts?: OutcomeLimits | undefined
}

/** Completed entries may take this part (1/8) of the limit in segments that could be merged. */
const WASTED_SHARE = 8
/** A merged segment may lie among millions of outcomes, which take 130 bytes of memory each. */
const OUTCOMES_AT_ONCE = 32_768

/**
 * The result of appending a group of entries. Entries are appended in order: the first `committedCount` entries of the
 * group are in the log, the others are not.
 */
export interface CommitResult {
  /** Sequence of the first entry of the group. */
  readonly firstSequence: number
  readonly committedCount: number
  /** Why the other entries are not in the log. */
  readonly refusal: LogRefusal | undefined
  /** The parts of the group, with its entries as they stand in the log. */
  readonly memory: readonly Uint8Array[]
}

/** A small value that is kept by key; an empty one removes the key. */
export interface Note {
  readonly key: string
  readonly value: Uint8Array
}

/** The facts that are known of a run of entries. Entries that are neither open nor have an outcome are unknown or expired. */
export interface KnownEntries extends FoundOutcomes {
  /** The open entries in the order of their sequences. */
  readonly open: readonly OpenEntry[]
  /** When the first open entry was accepted, epoch milliseconds; `undefined`: there is none, or it cannot be read. */
  readonly openSinceMs: number | undefined
}

const FORMAT_DAMAGED =
  'the file FORMAT of the durable log is damaged: its other files name their format, and nothing is lost'
const SET_ASIDE =
  'a file of the durable log cannot be read: its records are set aside in quarantine/, and wait there. Stop the gateway and run castellan wal salvage'
const NO_OUTCOMES: FoundOutcomes = { outcomes: new Map(), expiredUpTo: 0 }

/**
 * The durable log as it runs on the log's thread: synchronous, and the only user of its directory. Takes appends, remembers
 * completed entries, and removes finished segments. docs/develop/wal-format.md has the format and the order of steps.
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
  readonly #progress: ProgressJournal
  readonly #availability: Availability
  readonly #appender: LogAppender
  readonly #outcomes: OutcomeStore | undefined
  #isDiskLow = false
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
    const found = recover(directory)
    tidy(directory, found)
    this.#outcomes = options.receipts && this.#openOutcomes(options.receipts, found)
    this.recovered = found.report
    this.#tellDamage()
    this.#notes = found.notes
    this.#enqueued = found.report.openEntries
    this.#damagedEntries = found.report.damagedEntries
    this.#availability = new Availability(clock)
    const onDamaged = (segment: LogSegment): void => this.#damaged(segment)
    this.#indexes = new SegmentIndexes(directory, onDamaged, options.maxIndexBytes)
    for (const [segment, index] of found.indexes) this.#indexes.keep(segment, index)
    this.#spares = new SpareSegments(directory, clock)
    this.#segments = this.#newSegments(found)
    this.#reader = new LogReader(directory, this.#segments.all, this.#indexes, onDamaged)
    this.#merger = new SegmentMerger({ ...options, segments: this.#segments, reader: this.#reader })
    this.#progress = new ProgressJournal({ ...options, foundIds: found.journalIds, snapshot: () => this.#snapshot() })
    this.#appender = new LogAppender({
      options,
      found,
      segments: this.#segments,
      spares: this.#spares,
      indexes: this.#indexes,
      progress: this.#progress,
      availability: this.#availability
    })
    const isEmpty = found.segments.length + found.journalIds.length === 0
    if (!isEmpty && tryTo(() => this.#progress.renew())) this.#segments.removeFinished()
    for (const segment of found.aside) this.#holdAside(segment)
    // The report counts no entries that are set aside.
    this.#enqueued += this.#completed
    if (isFormatDamaged) this.#mendFormat()
  }

  #newSegments({ segments, aside }: Recovered): SegmentList {
    return new SegmentList({
      directory: this.#directory,
      segments,
      aside,
      spares: this.#spares,
      minSpareBytes: this.#options.segmentBytes / 2,
      onRemoved: segment => this.#indexes.forget(segment),
      keepNext: () => this.#progress.write([this.#appender.next]) && this.#syncProgress(),
      syncProgress: () => this.#syncProgress()
    })
  }

  /** The last noted values, by key. */
  get notes(): ReadonlyMap<string, Buffer> {
    return this.#notes
  }

  get stats(): StoreStats {
    const { state } = this.#availability
    const { isEmpty = true, sizeBytes = 0, lostOutcomes = 0, damagedFiles = 0 } = this.#outcomes ?? {}
    return {
      state: state === 'ok' && this.#refusalFor(0) ? 'full' : state,
      segmentCount: this.#segments.all.length,
      sizeBytes: this.#sizeBytes,
      openEntries: this.#segments.openEntries,
      enqueued: this.#enqueued,
      completed: this.#completed,
      damagedEntries: this.#damagedEntries,
      syncs: this.#appender.syncs + this.#progress.syncs,
      quarantinedSegments: this.recovered.quarantinedFiles.length + this.#segments.quarantinedCount,
      setAsideEntries: this.#segments.asideEntries,
      hasOutcomes: !isEmpty,
      outcomeBytes: sizeBytes,
      lostOutcomes,
      damagedFiles
    }
  }

  /**
   * Writes a group, and makes it as durable as the settings say.
   *
   * @param memory entries one behind the other, written by `writeUnstamped`; they are stamped in place
   */
  commit(...memory: Uint8Array[]): CommitResult {
    const firstSequence = this.#appender.endSequence
    let refusal: LogRefusal | undefined
    for (const part of memory) refusal ??= this.#refusalFor(part.length) ?? this.#appender.write(toBuffer(part))
    const failure = this.#appender.settle()
    const committedCount = this.#appender.endSequence - firstSequence
    this.#enqueued += committedCount
    return { firstSequence, committedCount, refusal: refusal ?? failure, memory }
  }

  /** Names the log in receipts; `undefined`: outcomes are not kept. */
  get logId(): Buffer | undefined {
    return this.#outcomes?.logId
  }

  /**
   * Completes entries. Completed and missing entries are skipped.
   *
   * @param rows their outcomes; written first
   * @returns how many had been open
   */
  complete(ranges: readonly SequenceRange[], rows?: DeliveredRows): number {
    return this.settle(ranges, rows && outcomesIn(rows))
  }

  /** Writes outcomes, then completes their entries. @returns how many had been open */
  protected settle(ranges: readonly SequenceRange[], outcomes: Iterable<EntryOutcome> = []): number {
    this.#outcomes?.write(outcomes)
    let count = 0
    for (const range of ranges) for (const segments of this.#lists) count += completeRange(segments, range)
    if (count === 0) return 0
    this.#completed += count
    this.#progress.write(ranges.map(range => ({ type: 'completed', range })))
    if (this.#options.syncTakes) this.#syncProgress()
    this.#segments.removeFinished()
    return count
  }

  /** Keeps small values by key. True when they survive the death of the process. */
  note(notes: readonly Note[]): boolean {
    const progress = notes.map(({ key, value }) => ({ type: 'note', key, value: toBuffer(value) }) as const)
    for (const { key, value } of progress) {
      if (value.length === 0) this.#notes.delete(key)
      else this.#notes.set(key, value)
    }
    return this.#progress.write(progress)
  }

  /** Entries that are not completed, in the order of their sequences. */
  read(request: LogReadRequest): ReadEntries {
    const damagedBefore = this.#damagedEntries
    const result = this.#reading(() => this.#reader.read(request, this.#appender.endSequence))
    if (this.#damagedEntries > damagedBefore) this.#segments.removeFinished()
    return result
  }

  /** The open entries of each destination. */
  backlog(): ReadonlyMap<string, DestinationBacklog> {
    return this.#reading(() => backlogOf(this.#segments.all, this.#indexes))
  }

  /** The destinations that have open entries from some sequence on. */
  search(request: DestinationSearch): FoundDestinations {
    return this.#reading(() => searchDestinations(this.#segments.all, this.#indexes, request))
  }

  /** The open entries among those of a range, as runs; also those that are set aside. */
  openRuns({ first, count }: SequenceRange): readonly SequenceRange[] {
    const runs = this.#lists.flatMap(segments => openRunsBetween(segments, first, first + count))
    return runs.sort((one, other) => one.first - other.first)
  }

  /** State of a run of entries. @throws when files of outcomes cannot be read */
  states(range: SequenceRange): KnownEntries {
    const open = this.#reading(() => this.#openBetween(range))
    const waiting = open.flatMap(({ sequence, destination }) => (destination === undefined ? [] : sequence))
    const found = this.#outcomes?.find(range, new Set(waiting)) ?? NO_OUTCOMES
    const [oldest] = open.length > 0 ? this.read({ fromSequence: open[0]!.sequence, maxBytes: 1 }).entries : []
    const openSinceMs = oldest?.sequence === open[0]?.sequence ? oldest?.acceptedAtMs : undefined
    return { ...found, open, openSinceMs }
  }

  #openBetween({ first, count }: SequenceRange): OpenEntry[] {
    const open = openBetween(this.#segments.all, this.#indexes, first, first + count)
    for (const run of this.#lists.slice(1).flatMap(aside => openRunsBetween(aside, first, first + count)))
      for (let sequence = run.first; sequence < run.first + run.count; sequence++) open.push({ sequence })
    return open.sort((one, other) => one.sequence - other.sequence)
  }

  /** Segments whose entries count, whether the disk can read them or not. Where it cannot, they may seem to overlap. */
  get #lists(): readonly (readonly LogSegment[])[] {
    return [this.#segments.all, ...this.#segments.aside.map(segment => [segment])]
  }

  /** Reads segments. One that the disk cannot read is set aside at once, and the others are read. */
  #reading<T>(read: () => T): T {
    for (;;) {
      try {
        return read()
      } catch (error) {
        if (!(error instanceof UnreadableSegment)) throw error
        const { segment, cause } = error
        this.#appender.leave(segment)
        this.#segments.setAside(segment)
        this.#holdAside(segment, cause)
      }
    }
  }

  /** Sets a segment aside. Its entries wait, except those with an outcome, of which a power cut has taken only the completion. */
  #holdAside(segment: LogSegment, err?: unknown): void {
    for (const { first, count } of openRunsBetween([segment], segment.firstSequence, segment.endSequence))
      for (let from = first; from < first + count; from += OUTCOMES_AT_ONCE)
        tryTo(() => {
          const run = { first: from, count: Math.min(OUTCOMES_AT_ONCE, first + count - from) }
          const known = this.#outcomes?.find(run).outcomes.keys() ?? []
          this.complete(Array.from(known, sequence => ({ first: sequence, count: 1 })))
        })
    const { name, openCount: records } = segment
    if (records > 0) this.#options.report({ segment: name, records, err }, SET_ASIDE)
  }

  /** Makes everything committed so far survive a power cut. Returns false when that failed. */
  sync(): boolean {
    this.#syncProgress()
    return this.#appender.sync()
  }

  /** Called about once a second: checks the free disk space, and repeats writes and syncs that failed. */
  tick(): void {
    try {
      this.#isDiskLow = this.#directory.freeBytes() < this.#options.minFreeBytes
    } catch {
      this.#isDiskLow = false
    }
    this.#spares.tick()
    this.#segments.moveAside()
    this.#progress.mend()
    this.#segments.removeFinished()
    this.#outcomes?.tick()
    this.#mergeSegments()
  }

  /** Merges segments with few open entries when they waste much disk space, or space is short. */
  #mergeSegments(): void {
    const { maxBytes, maxWastedBytes = maxBytes / WASTED_SHARE } = this.#options
    const { wastedBytes } = this.#merger
    if (wastedBytes === 0 || this.#availability.state === 'closed') return
    if (wastedBytes <= maxWastedBytes && this.#refusalFor(0) === undefined) return
    this.#syncProgress()
    this.#reading(() => this.#merger.mergeNext())
  }

  /** Closes the open segment with a seal. */
  close(): void {
    if (this.#availability.state === 'closed') return
    this.#appender.close()
    this.#segments.removeFinished()
    this.#spares.drop()
    this.#outcomes?.close()
    this.#progress.close()
    this.#availability.close()
  }

  /** Outcomes are synced first: where a completion survives a power cut, its outcome does. */
  #syncProgress(): boolean {
    this.#outcomes?.sync()
    return this.#progress.sync()
  }

  #openOutcomes(limits: OutcomeLimits, found: Recovered): OutcomeStore | undefined {
    const { syncPuts, report } = this.#options
    try {
      // Without syncs, a power cut may have taken entries, and later ones get their sequences.
      const areSequencesKept =
        syncPuts || found.segments.length === 0 || isSealed(this.#directory, found.segments.at(-1)!)
      return new OutcomeStore({ ...this.#options, ...limits, nextSequence: areSequencesKept ? found.nextSequence : 0 })
    } catch (error) {
      report({ err: error }, 'outcomes of records cannot be kept: there are no receipts')
      return undefined
    }
  }

  get #sizeBytes(): number {
    return this.#segments.sizeBytes + this.#spares.sizeBytes + this.#progress.sizeBytes
  }

  #refusalFor(bytes: number): LogRefusal | undefined {
    const { refusal } = this.#availability
    if (refusal) return refusal
    const { maxBytes } = this.#options
    if (this.#isDiskLow || this.#sizeBytes + bytes > maxBytes) this.#spares.drop()
    if (this.#sizeBytes + bytes > maxBytes)
      return refuse('full', `the durable log holds its limit of ${maxBytes} bytes`)
    if (this.#isDiskLow) return refuse('full', `the disk under ${this.#directory.path} is nearly full`)
    return undefined
  }

  #mendFormat(): void {
    this.#options.report({ directory: this.#directory.path }, FORMAT_DAMAGED)
    tryTo(() => {
      writeFormat(this.#directory)
      this.#directory.sync()
    })
  }

  /** Reports entries that were lost before this process started. */
  #tellDamage(): void {
    const { report } = this.#options
    const { quarantinedFiles: files, cutEntries, damagedJournalBytes: bytes } = this.recovered
    const damagedEntries = this.recovered.damagedEntries - cutEntries
    if (files.length > 0)
      report({ files }, 'files of the durable log are damaged: the records in them cannot be delivered')
    if (cutEntries > 0)
      report({ cutEntries }, 'files of the durable log were cut: acknowledged entries at their ends are lost')
    if (damagedEntries > 0) report({ damagedEntries }, 'entries of the durable log are damaged and cannot be delivered')
    if (bytes > 0) report({ bytes }, 'a progress journal is damaged: records that Kafka has may be delivered again')
  }

  #damaged(segment: LogSegment): void {
    this.#damagedEntries++
    this.#options.report({ segment: segment.name }, 'an entry of the durable log is damaged and cannot be delivered')
  }

  *#snapshot(): Generator<LogProgress> {
    yield this.#appender.next
    for (const segment of this.#lists.flat()) {
      for (const range of segment.completed()) yield { type: 'completed', range }
    }
    const ids = new Set(this.#lists.flat().map(({ id }) => id))
    for (const [segmentId, sequence] of this.#appender.synced) {
      if (ids.has(segmentId)) yield { type: 'synced', sequence, segmentId }
      else this.#appender.synced.delete(segmentId)
    }
    for (const { cutCount: count, id: segmentId } of this.#segments.all)
      if (count > 0) yield { type: 'cut', count, segmentId }
    for (const [key, value] of this.#notes) yield { type: 'note', key, value }
  }
}

const isSealed = (directory: LogDirectory, { name, salt }: LogSegment): boolean =>
  withFile(directory, name, file => readTrailer(file, salt) !== undefined)
