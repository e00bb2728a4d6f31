import { type DecodedEntry, decodeEntry, type StoredEntry } from './entry.js'
import { type LogDirectory, withFile } from './files.js'
import { type LogSegment, segmentIndexOf } from './segment.js'
import type { SegmentIndexes } from './segment-indexes.js'
import { readable } from './unreadable.js'

/** Asks for entries that are not completed, in the order of their sequences. */
export interface LogReadRequest {
  /** Entries with a lower sequence are not returned. */
  readonly fromSequence: number
  /** Reading stops once this many bytes of entries are gathered; one entry is always returned whole. */
  readonly maxBytes: number
  /** Only entries for these destinations are returned, each from its first sequence on; absent: all entries. */
  readonly destinations?: ReadonlyMap<string, number> | undefined
}

export interface ReadEntries {
  readonly entries: readonly StoredEntry[]
  /** Where to continue: all requested entries before this sequence have been returned. */
  readonly nextSequence: number
  /** No requested entry is behind `nextSequence` now. */
  readonly isAtEnd: boolean
}

/** Reads one piece of the log. */
export type ReadLog = (request: LogReadRequest) => Promise<ReadEntries>

/** Entries of one segment that are read at once, because they lie together. */
interface EntryRun {
  /** Places in the index, rising. Empty when no requested entry was found. */
  readonly members: readonly number[]
  readonly offset: number
  readonly endBytes: number
  /** All requested entries before this place are in this run or in an earlier one. */
  readonly nextPlace: number
}

/** Limit of one read in bytes. */
const RUN_BYTES = 1024 * 1024
/** A gap of at most this size between two requested entries is read and discarded: a second read takes longer. */
const MAX_GAP_BYTES = 16 * 1024
/** Size of one read: enough for several batches. */
export const READ_BYTES = 1024 * 1024
/** Limit of one call in index positions, some milliseconds, so that the thread is soon free for appends. */
const MAX_STEPS = 1_000_000
/** The cost of a read, in index positions examined. */
const STEPS_PER_READ = 1_000

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
  read(request: LogReadRequest, endSequence: number): ReadEntries {
    const entries: StoredEntry[] = []
    let [nextSequence, bytesLeft, stepsLeft] = [request.fromSequence, request.maxBytes, MAX_STEPS]
    for (let at = segmentIndexOf(this.#segments, nextSequence); at < this.#segments.length; at++) {
      const segment = this.#segments[at]!
      const nextRun = segment.openCount > 0 ? this.#runsOf(segment, request) : undefined
      nextSequence = Math.max(nextSequence, segment.firstSequence)
      while (nextRun !== undefined && nextSequence < segment.endSequence) {
        if (bytesLeft <= 0 || stepsLeft <= 0) return { entries, nextSequence, isAtEnd: false }
        const fromPlace = segment.placeOf(nextSequence)
        const run = nextRun(fromPlace, stepsLeft, Math.min(RUN_BYTES, bytesLeft))
        stepsLeft -= run.nextPlace - fromPlace
        if (run.members.length > 0) {
          stepsLeft -= STEPS_PER_READ
          for (const { entry, sizeBytes } of this.#readRun(segment, run)) {
            entries.push(entry)
            bytesLeft -= sizeBytes
          }
        }
        nextSequence = segment.sequenceAt(run.nextPlace)
      }
      nextSequence = Math.max(nextSequence, segment.endSequence)
    }
    return { entries, nextSequence: Math.max(nextSequence, endSequence), isAtEnd: true }
  }

  /**
   * @returns a function that finds the first wanted entry at or behind a place, within so many places, and the ones close behind
   * it. The first entry is complete in any case
   */
  #runsOf(segment: LogSegment, request: LogReadRequest): (from: number, steps: number, maxBytes: number) => EntryRun {
    const index = this.#indexes.of(segment)
    /** The lowest sequence that is wanted of each destination, by its number, as far as they were met. */
    const wanted: number[] = []
    return (from, steps, maxBytes) => {
      const members: number[] = []
      let [place, offset, endBytes] = [from, 0, 0]
      for (const lastPlace = Math.min(segment.entryCount, from + steps); place < lastPlace; place++) {
        if (segment.done.has(place)) continue
        const destination = index.destinationAt(place)
        wanted[destination] ??= wantedFrom(request, index.names[destination]!)
        if (segment.sequenceAt(place) < wanted[destination]!) continue
        const [start, end] = [index.offsetAt(place), index.endAt(place, segment.endBytes)]
        if (members.length === 0) offset = start
        else if (start - endBytes > MAX_GAP_BYTES || end - offset > maxBytes) break
        members.push(place)
        endBytes = end
      }
      return { members, offset, endBytes, nextPlace: place }
    }
  }

  /** The entries of a run; those that are damaged are told, and left out. */
  #readRun(segment: LogSegment, { members, offset, endBytes }: EntryRun): Extract<DecodedEntry, { type: 'entry' }>[] {
    const index = this.#indexes.of(segment)
    const bytes = readable(segment, () =>
      withFile(this.#directory, segment.name, file => file.read(offset, endBytes - offset))
    )
    return members.flatMap(place => {
      const found = decodeEntry(bytes, index.offsetAt(place) - offset, segment.salt)
      const sequence = segment.sequenceAt(place)
      if (found.type === 'entry' && found.sequence === sequence) return found
      if (segment.damaged(sequence)) this.#onDamaged(segment)
      return []
    })
  }
}
