import { decodeEntry, type StoredEntry } from './entry.js'
import type { LogDirectory, LogFile } from './files.js'
import { type LogSegment, segmentIndexOf } from './segment.js'
import type { SegmentIndex } from './segment-index.js'
import type { SegmentIndexes } from './segment-indexes.js'
import { ofSegment } from './unreadable.js'

/** Asks for entries that are not completed, in the order of their sequences. */
export interface LogReadRequest {
  /** Entries with a lower sequence are not returned. */
  readonly fromSequence: number
  /** Reading stops once this many bytes of entries are gathered; one entry is always returned whole. */
  readonly maxBytes: number
  /** Only entries for these destinations are returned, each from its first sequence on; absent: all entries. */
  readonly destinations?: ReadonlyMap<string, number> | undefined
}

export interface ReadResult {
  readonly entries: readonly StoredEntry[]
  /** Where to continue: all requested entries before this sequence have been returned. */
  readonly nextSequence: number
  /** No requested entry is behind `nextSequence` now. */
  readonly isAtEnd: boolean
}

/** Reads one piece of the log. */
export type ReadLog = (request: LogReadRequest) => Promise<ReadResult>

/** Entries of one segment that are read at once, because they lie together. */
interface Run {
  /** Places in the index, rising. Empty when no requested entry was found. */
  readonly members: readonly number[]
  readonly offset: number
  readonly endBytes: number
  /** All requested entries before this place are in this run or in an earlier one. */
  readonly nextIndex: number
}

/** Limit of one read in bytes. */
const RUN_BYTES = 1024 * 1024
/** A gap of at most this size between two requested entries is read and discarded: a second read takes longer. */
const MAX_GAP_BYTES = 16 * 1024
/** Limit of the index places examined for one run, which takes some milliseconds. */
const MAX_RUN_STEPS = 500_000

/** Which entries of a segment a request wants, according to the index of the segment. */
export class WantedEntries {
  readonly #segment: LogSegment
  readonly #index: SegmentIndex
  readonly #request: LogReadRequest
  /** The lowest sequence that is wanted of each destination, by its number, as far as they were met. */
  readonly #from: number[] = []

  constructor(segment: LogSegment, index: SegmentIndex, request: LogReadRequest) {
    this.#segment = segment
    this.#index = index
    this.#request = request
  }

  /**
   * The first wanted entry at or behind `fromIndex`, and those that lie close behind it.
   *
   * @param maxBytes length of the run; its first entry is whole in any case
   */
  nextRun(fromIndex: number, maxBytes: number): Run {
    const members: number[] = []
    let offset = 0
    let endBytes = 0
    let index = fromIndex
    const lastIndex = Math.min(this.#segment.entryCount, fromIndex + MAX_RUN_STEPS)
    for (; index < lastIndex; index++) {
      if (!this.#isWanted(index)) continue
      const start = this.#index.offsetAt(index)
      const end = this.#index.endAt(index, this.#segment.endBytes)
      if (members.length === 0) offset = start
      else if (start - endBytes > MAX_GAP_BYTES || end - offset > maxBytes) break
      members.push(index)
      endBytes = end
    }
    return { members, offset, endBytes, nextIndex: index }
  }

  #isWanted(index: number): boolean {
    if (this.#segment.done.has(index)) return false
    const destination = this.#index.destinationAt(index)
    this.#from[destination] ??= wantedFrom(this.#request, this.#index.names[destination]!)
    return this.#segment.sequenceAt(index) >= this.#from[destination]!
  }
}

/** The lowest sequence that a request wants of a destination. */
export const wantedFrom = ({ fromSequence, destinations }: LogReadRequest, destination: string): number =>
  destinations === undefined
    ? fromSequence
    : Math.max(fromSequence, destinations.get(destination) ?? Number.POSITIVE_INFINITY)

/** Reads entries back from the segments. Entries that are not requested cost only a look into the segment's index. */
export class LogReader {
  /** The store's own list. */
  readonly #segments: readonly LogSegment[]
  readonly #indexes: SegmentIndexes
  readonly #directory: LogDirectory
  readonly #onDamaged: (segment: LogSegment) => void

  constructor(
    directory: LogDirectory,
    segments: readonly LogSegment[],
    indexes: SegmentIndexes,
    onDamaged: (segment: LogSegment) => void
  ) {
    this.#segments = segments
    this.#indexes = indexes
    this.#directory = directory
    this.#onDamaged = onDamaged
  }

  /** @throws UnreadableSegment */
  read(request: LogReadRequest, endSequence: number): ReadResult {
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

  /** @returns false when enough is gathered, true at the end of the segment */
  #readSegment(segment: LogSegment, gathering: Gathering): boolean {
    let file: LogFile | undefined
    try {
      const wanted = new WantedEntries(segment, this.#indexes.of(segment), gathering.request)
      while (gathering.nextSequence < segment.endSequence) {
        if (gathering.isFull) return false
        const fromIndex = segment.placeOf(gathering.nextSequence)
        const { members, offset, endBytes, nextIndex } = wanted.nextRun(
          fromIndex,
          Math.min(RUN_BYTES, gathering.capacityBytes)
        )
        gathering.looked(nextIndex - fromIndex)
        if (members.length > 0) {
          file ??= this.#directory.open(segment.name, 'read')
          const bytes = file.read(offset, endBytes - offset)
          for (const member of members) this.#take(segment, member, bytes, offset, gathering)
        }
        gathering.reach(segment.sequenceAt(nextIndex))
      }
      return true
    } catch (error) {
      throw ofSegment(segment, error)
    } finally {
      file?.close()
    }
  }

  /** @param bytes of the file from `from` on, which hold the entry */
  #take(segment: LogSegment, member: number, bytes: Buffer, from: number, gathering: Gathering): void {
    const found = decodeEntry(bytes, this.#indexes.of(segment).offsetAt(member) - from, segment.salt)
    const sequence = segment.sequenceAt(member)
    if (found.type === 'entry' && found.entry.sequence === sequence) gathering.take(found.entry, found.sizeBytes)
    else if (segment.damaged(sequence)) this.#onDamaged(segment)
  }
}

/** Limit of one call in index positions, some milliseconds, so that the thread is soon free for appends. */
const MAX_STEPS = 1_000_000
/** The cost of a read, in index positions examined. */
const STEPS_PER_READ = 1_000

/** The entries that one call has read so far. */
class Gathering {
  readonly request: LogReadRequest
  nextSequence: number
  readonly #entries: StoredEntry[] = []
  #bytes = 0
  #steps = 0

  constructor(request: LogReadRequest) {
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
