import type { MonotonicClock } from '../../core/model.js'
import { acceptedAtMsIn, decodeEntry, MAX_HEAD_BYTES, type StoredEntry } from './entry.js'
import { type LogDirectory, type LogFile, tryTo } from './files.js'
import { segmentIndexOf } from './recovery.js'
import { type ReadRequest, type ReadResult, type Run, WantedEntries } from './requested-entries.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndexes } from './segment-indexes.js'

/** Limit of one read in bytes. */
const RUN_BYTES = 1024 * 1024
/** After this many failures, and this long, entries of a segment are read one by one, and unreadable ones are given up. */
const MAX_FAILURES = 3
const GIVE_UP_AFTER_MS = 30_000
/** Trouble that comes back later than this is another one: readers ask again within a second for an entry that they need. */
const TROUBLE_ENDS_AFTER_MS = 10_000

/** Failures to read a segment, none of which came long after the one before. */
interface Failures {
  readonly sinceMs: number
  lastMs: number
  count: number
}

/** Reads entries back from the segments. Entries that are not requested cost only a look into the segment's index. */
export class LogReader {
  /** The store's own list. */
  readonly #segments: readonly LogSegment[]
  readonly #indexes: SegmentIndexes
  readonly #files: OpenSegments
  readonly #onDamaged: (segment: LogSegment) => void
  readonly #clock: MonotonicClock
  readonly #failures = new Map<LogSegment, Failures>()

  constructor(
    directory: LogDirectory,
    segments: readonly LogSegment[],
    indexes: SegmentIndexes,
    onDamaged: (segment: LogSegment) => void,
    clock: MonotonicClock
  ) {
    this.#segments = segments
    this.#indexes = indexes
    this.#files = new OpenSegments(directory)
    this.#onDamaged = onDamaged
    this.#clock = clock
  }

  read(request: ReadRequest, endSequence: number): ReadResult {
    const gathering = new Gathering(request)
    for (;;) {
      const segment = this.#segments[segmentIndexOf(this.#segments, gathering.nextSequence)]
      if (!segment) {
        gathering.reach(endSequence)
        return gathering.result(true)
      }
      gathering.reach(segment.firstSequence)
      if (segment.openCount === 0) gathering.reach(segment.endSequence)
      else if (!this.#readSegment(segment, gathering)) return gathering.result(false)
    }
  }

  /** When an entry was accepted, epoch milliseconds; `undefined`: there is no such entry, or it cannot be read. */
  acceptedAtMs(sequence: number): number | undefined {
    const segment = this.#segments[segmentIndexOf(this.#segments, sequence)]
    try {
      const place = segment?.placeOf(sequence) ?? 0
      if (segment === undefined || segment.sequenceAt(place) !== sequence) return undefined
      const offset = this.#indexes.of(segment).offsetAt(place)
      const head = this.#files.of(segment).read(offset, MAX_HEAD_BYTES)
      return acceptedAtMsIn(head, segment.salt)
    } catch {
      return undefined
    }
  }

  /** Closes the file of a segment that is going to be removed, and forgets its index and failures. */
  forget(segment: LogSegment): void {
    this.#failures.delete(segment)
    this.#indexes.forget(segment)
    this.#files.close(segment)
  }

  close(): void {
    this.#files.closeAll()
  }

  /** @returns false when enough is gathered, true at the end of the segment */
  #readSegment(segment: LogSegment, gathering: Gathering): boolean {
    try {
      const wanted = new WantedEntries(segment, this.#indexes.of(segment), gathering.request)
      while (gathering.nextSequence < segment.endSequence) {
        if (gathering.isFull) return false
        this.#readNext(segment, wanted, gathering)
      }
    } catch {
      return this.#failed(segment, gathering)
    }
    this.#failures.delete(segment)
    return true
  }

  #readNext(segment: LogSegment, wanted: WantedEntries, gathering: Gathering): void {
    const isCareful = this.#hasFailed(segment)
    const fromIndex = segment.placeOf(gathering.nextSequence)
    const run = wanted.nextRun(fromIndex, isCareful ? 0 : Math.min(RUN_BYTES, gathering.capacityBytes))
    gathering.looked(run.nextIndex - fromIndex)
    if (!isCareful) this.#readRun(segment, run, gathering)
    else if (!tryTo(() => this.#readRun(segment, run, gathering))) {
      for (const index of run.members) this.#lose(segment, segment.sequenceAt(index))
    }
    gathering.reach(segment.sequenceAt(run.nextIndex))
  }

  /** @throws when the file cannot be read */
  #readRun(segment: LogSegment, { members, offset, endBytes }: Run, gathering: Gathering): void {
    if (members.length === 0) return
    const bytes = this.#files.of(segment).read(offset, endBytes - offset)
    const index = this.#indexes.of(segment)
    for (const member of members) {
      const found = decodeEntry(bytes, index.offsetAt(member) - offset, segment.salt)
      const sequence = segment.sequenceAt(member)
      if (found.type === 'entry' && found.entry.sequence === sequence) gathering.take(found.entry, found.sizeBytes)
      else this.#lose(segment, sequence)
    }
  }

  #lose(segment: LogSegment, sequence: number): void {
    if (segment.damaged(sequence)) this.#onDamaged(segment)
  }

  #hasFailed(segment: LogSegment): boolean {
    const failures = this.#failuresOf(segment)
    if (failures === undefined || failures.count < MAX_FAILURES) return false
    return this.#clock() - failures.sinceMs >= GIVE_UP_AFTER_MS
  }

  /**
   * A read that succeeds does not end trouble: readers of other places would keep an entry which can never be read from being
   * given up.
   */
  #failuresOf(segment: LogSegment): Failures | undefined {
    const failures = this.#failures.get(segment)
    return failures && this.#clock() - failures.lastMs <= TROUBLE_ENDS_AFTER_MS ? failures : undefined
  }

  /**
   * The file cannot be read. The caller tries again a little later; after too many failures all entries of the segment are
   * given up.
   */
  #failed(segment: LogSegment, gathering: Gathering): boolean {
    this.#files.close(segment)
    if (!this.#hasFailed(segment)) {
      const nowMs = this.#clock()
      const failures = this.#failuresOf(segment) ?? { sinceMs: nowMs, lastMs: nowMs, count: 0 }
      failures.count++
      failures.lastMs = nowMs
      this.#failures.set(segment, failures)
      return false
    }
    const first = segment.placeOf(gathering.nextSequence)
    for (let place = first; place < segment.entryCount; place++) this.#lose(segment, segment.sequenceAt(place))
    gathering.reach(segment.endSequence)
    return true
  }
}

/** Limit of one call in index positions, some milliseconds, so that the thread is soon free for appends. */
const MAX_STEPS = 1_000_000
/** The cost of a read, in index positions examined. */
const STEPS_PER_READ = 1_000

/** The entries that one call has read so far. */
class Gathering {
  readonly request: ReadRequest
  nextSequence: number
  readonly #entries: StoredEntry[] = []
  #bytes = 0
  #steps = 0

  constructor(request: ReadRequest) {
    this.request = request
    this.nextSequence = request.fromSequence
  }

  get isFull(): boolean {
    return this.capacityBytes <= 0 || this.#steps >= MAX_STEPS
  }
  get capacityBytes(): number {
    return this.request.maxBytes - this.#bytes
  }

  looked(steps: number): void {
    this.#steps += steps + STEPS_PER_READ
  }

  take(entry: StoredEntry, sizeBytes: number): void {
    this.#entries.push(entry)
    this.#bytes += sizeBytes
  }

  /** All entries before `sequence` were considered. */
  reach(sequence: number): void {
    this.nextSequence = Math.max(this.nextSequence, sequence)
  }

  result(isAtEnd: boolean): ReadResult {
    return { entries: this.#entries, nextSequence: this.nextSequence, isAtEnd }
  }
}

/** This many files stay open, because readers are at several places of the log. */
const MAX_FILES = 4

/** The open files of the segments that were read last. */
export class OpenSegments {
  readonly #directory: LogDirectory
  /** Least recently used first. */
  readonly #files = new Map<LogSegment, LogFile>()

  constructor(directory: LogDirectory) {
    this.#directory = directory
  }

  /** @throws when the file cannot be opened */
  of(segment: LogSegment): LogFile {
    const file = this.#files.get(segment) ?? this.#directory.open(segment.name, 'read')
    this.#files.delete(segment)
    this.#files.set(segment, file)
    for (const oldest of this.#files.keys()) {
      if (this.#files.size <= MAX_FILES) break
      this.close(oldest)
    }
    return file
  }

  close(segment: LogSegment): void {
    this.#files.get(segment)?.close()
    this.#files.delete(segment)
  }

  closeAll(): void {
    for (const segment of [...this.#files.keys()]) this.close(segment)
  }
}
