import type { MonotonicClock } from '../../core/model.js'
import { acceptedAtMsIn, decodeEntry, ENTRY_HEADER_BYTES, MAX_HEAD_BYTES, type StoredEntry } from './entry.js'
import type { LogDirectory, LogFile } from './files.js'
import { isShortage, ReadableParts, ReadTroubles } from './read-troubles.js'
import { segmentIndexOf } from './recovery.js'
import { type ReadRequest, type ReadResult, type Run, WantedEntries } from './requested-entries.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndexes } from './segment-indexes.js'

/** Limit of one read in bytes. */
const RUN_BYTES = 1024 * 1024
/** Behind an entry that cannot be read, others are tried for so long: they may be damaged with it, and their time runs, too. */
const TRY_OTHERS_MS = 20

/**
 * Reads entries back from the segments. Entries that are not requested cost only a look into the segment's index. A read stops
 * before an entry that the disk cannot read, until the disk works again or the entry is given up.
 */
export class LogReader {
  /** The store's own list. */
  readonly #segments: readonly LogSegment[]
  readonly #indexes: SegmentIndexes
  readonly #files: OpenSegments
  readonly #onDamaged: (segment: LogSegment) => void
  readonly #clock: MonotonicClock
  /** Of entries, by sequence, and of segments that cannot be opened, or whose index cannot be read. */
  readonly #troubles: ReadTroubles<number | LogSegment>

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
    this.#troubles = new ReadTroubles(clock)
  }

  read(request: ReadRequest, endSequence: number): ReadResult {
    const gathering = new Gathering(request, this.#clock())
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

  /** Closes the file of a segment that is going to be removed, and forgets its index and troubles. */
  forget(segment: LogSegment): void {
    this.#troubles.worked(segment)
    this.#indexes.forget(segment)
    this.#files.close(segment)
  }

  close(): void {
    this.#files.closeAll()
  }

  /** @returns false when enough is gathered or something cannot be read now, true at the end of the segment */
  #readSegment(segment: LogSegment, gathering: Gathering): boolean {
    try {
      const wanted = new WantedEntries(segment, this.#indexes.of(segment), gathering.request)
      while (gathering.nextSequence < segment.endSequence) {
        if (gathering.isFull || !this.#readNext(segment, wanted, gathering)) return false
      }
      return true
    } catch (error) {
      return this.#segmentFailed(segment, gathering, error)
    }
  }

  /**
   * @returns false when an entry cannot be read now
   * @throws when the segment cannot be opened
   */
  #readNext(segment: LogSegment, wanted: WantedEntries, gathering: Gathering): boolean {
    const fromIndex = segment.placeOf(gathering.nextSequence)
    const run = wanted.nextRun(fromIndex, Math.min(RUN_BYTES, gathering.capacityBytes))
    gathering.looked(run.nextIndex - fromIndex)
    if (run.members.length > 0) {
      const file = this.#files.of(segment)
      this.#troubles.worked(segment)
      if (!this.#readRun(segment, file, run, gathering)) return false
    }
    gathering.reach(segment.sequenceAt(run.nextIndex))
    return true
  }

  #readRun(segment: LogSegment, file: LogFile, run: Run, gathering: Gathering): boolean {
    const { members, offset, endBytes } = run
    const isTroubled = this.#troubles.has(segment.sequenceAt(members[0]!))
    const bytes = isTroubled || members.length === 1 ? undefined : tryToRead(file, offset, endBytes)
    if (!(bytes instanceof Buffer)) return this.#readEach(segment, file, members, gathering)
    for (const member of members) this.#take(segment, member, bytes, offset, gathering)
    return true
  }

  /** Reads one entry after another, and tries those behind one that cannot be read, which are not returned. */
  #readEach(segment: LogSegment, file: LogFile, members: readonly number[], gathering: Gathering): boolean {
    const index = this.#indexes.of(segment)
    let [isStopped, hasFailed] = [false, false]
    for (const member of members) {
      const offset = index.offsetAt(member)
      const sequence = segment.sequenceAt(member)
      const isEndKnown = member + 1 === index.count || !index.isLost(member + 1)
      const bytes = isEndKnown
        ? tryToRead(file, offset, index.endAt(member, segment.endBytes))
        : this.#readAlone(file, offset, segment.salt)
      if (!(bytes instanceof Buffer)) {
        hasFailed = true
        if (!isShortage(bytes) && this.#troubles.failed(sequence)) this.#lose(segment, sequence)
        else if (!isStopped) {
          gathering.stop(sequence, index.names[index.destinationAt(member)]!)
          isStopped = true
        }
      } else if (isStopped) this.#troubles.worked(sequence)
      else this.#take(segment, member, bytes, offset, gathering)
      if (isStopped && this.#clock() - gathering.beganMs > TRY_OTHERS_MS) break
    }
    if (hasFailed) this.#files.close(segment)
    return !isStopped
  }

  /**
   * Reads an entry whose end is not known from the index, because the disk cannot read what lies behind it.
   *
   * @returns the bytes, or why they cannot be read
   */
  #readAlone(file: LogFile, offset: number, salt: number): unknown {
    try {
      const head = new ReadableParts(file, this.#clock).read(offset, MAX_HEAD_BYTES)
      const found = decodeEntry(head, 0, salt)
      if (found.type === 'entry') return head
      // Zeros of pages that cannot be read are no damage.
      return file.read(offset, found.type === 'damaged' ? ENTRY_HEADER_BYTES : found.sizeBytes)
    } catch (error) {
      return error
    }
  }

  /** @param bytes of the file from `from` on, which hold the entry */
  #take(segment: LogSegment, member: number, bytes: Buffer, from: number, gathering: Gathering): void {
    const found = decodeEntry(bytes, this.#indexes.of(segment).offsetAt(member) - from, segment.salt)
    const sequence = segment.sequenceAt(member)
    this.#troubles.worked(sequence)
    if (found.type === 'entry' && found.entry.sequence === sequence) gathering.take(found.entry, found.sizeBytes)
    else this.#lose(segment, sequence)
  }

  #lose(segment: LogSegment, sequence: number): void {
    if (segment.damaged(sequence)) this.#onDamaged(segment)
  }

  /**
   * The segment cannot be opened, or its index cannot be read. The caller tries again a little later; in the end the entries
   * are given up that the disk cannot read, or all of them where the segment cannot be opened.
   */
  #segmentFailed(segment: LogSegment, gathering: Gathering, error: unknown): boolean {
    this.#files.close(segment)
    if (isShortage(error) || !this.#troubles.failed(segment)) return false
    const isSalvaged = this.#salvage(segment)
    if (isSalvaged !== undefined) return isSalvaged && this.#readSegment(segment, gathering)
    const first = segment.placeOf(gathering.nextSequence)
    for (let place = first; place < segment.entryCount; place++) this.#lose(segment, segment.sequenceAt(place))
    gathering.reach(segment.endSequence)
    return true
  }

  /** @returns whether the segment has an index now; `undefined`: it cannot be opened */
  #salvage(segment: LogSegment): boolean | undefined {
    if (this.#indexes.has(segment)) return undefined
    try {
      return this.#indexes.salvage(segment, this.#clock)
    } catch (error) {
      return isShortage(error) ? false : undefined
    }
  }
}

/** @returns the bytes from `offset` to `endBytes`, or why they cannot be read */
function tryToRead(file: LogFile, offset: number, endBytes: number): unknown {
  try {
    return file.read(offset, endBytes - offset)
  } catch (error) {
    return error
  }
}

/** Limit of one call in index positions, some milliseconds, so that the thread is soon free for appends. */
const MAX_STEPS = 1_000_000
/** The cost of a read, in index positions examined. */
const STEPS_PER_READ = 1_000

/** The entries that one call has read so far. */
class Gathering {
  readonly request: ReadRequest
  readonly beganMs: number
  nextSequence: number
  #unreadable: string | undefined
  readonly #entries: StoredEntry[] = []
  #bytes = 0
  #steps = 0

  constructor(request: ReadRequest, beganMs: number) {
    this.request = request
    this.beganMs = beganMs
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

  /** The next entry, of this destination, cannot be read now. */
  stop(sequence: number, destination: string): void {
    this.reach(sequence)
    this.#unreadable = destination
  }

  result(isAtEnd: boolean): ReadResult {
    const result = { entries: this.#entries, nextSequence: this.nextSequence, isAtEnd }
    return this.#unreadable === undefined ? result : { ...result, unreadable: this.#unreadable }
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
