import type { StoredEntry } from './entry.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndex } from './segment-index.js'

/** Asks for entries that are not completed, in the order of their sequences. */
export interface ReadRequest {
  /** Entries with a lower sequence are not returned. */
  readonly fromSequence: number
  /** Reading stops once this many bytes of entries are gathered; one entry is always returned whole. */
  readonly maxBytes: number
  /** Only entries for these destinations are returned; absent: for all. A map gives for each the first sequence. */
  readonly destinations?: ReadonlySet<string> | ReadonlyMap<string, number> | undefined
  /** Entries for these destinations are skipped without reading the file. */
  readonly except?: ReadonlySet<string> | undefined
}

export interface ReadResult {
  readonly entries: readonly StoredEntry[]
  /** Where to continue: all requested entries before this sequence have been returned. */
  readonly nextSequence: number
  /** No requested entry is behind `nextSequence` now. */
  readonly isAtEnd: boolean
}

/** The lowest sequence that a request wants of a destination. */
export function wantedFrom({ fromSequence, destinations, except }: ReadRequest, destination: string): number {
  if (except?.has(destination)) return Number.POSITIVE_INFINITY
  if (!destinations) return fromSequence
  if (!destinations.has(destination)) return Number.POSITIVE_INFINITY
  return Math.max(fromSequence, destinations instanceof Map ? destinations.get(destination)! : fromSequence)
}

/** Entries of one segment that are read at once, because they lie together. */
export interface Run {
  /** Places in the index, rising. Empty when no requested entry was found. */
  readonly members: readonly number[]
  readonly offset: number
  readonly endBytes: number
  /** All requested entries before this place are in this run or in an earlier one. */
  readonly nextIndex: number
}

/** A gap of at most this size between two requested entries is read and discarded: a second read takes longer. */
const MAX_GAP_BYTES = 16 * 1024
/** Limit of the index places examined at a time, which takes some milliseconds. */
const MAX_STEPS = 500_000

/** Which entries of a segment a request wants, according to the index of the segment. */
export class WantedEntries {
  readonly #segment: LogSegment
  readonly #index: SegmentIndex
  readonly #request: ReadRequest
  /** By the number of the destination; NaN: not computed yet. */
  readonly #from: Float64Array

  constructor(segment: LogSegment, index: SegmentIndex, request: ReadRequest) {
    this.#segment = segment
    this.#index = index
    this.#request = request
    this.#from = new Float64Array(index.names.length).fill(Number.NaN)
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
    const lastIndex = Math.min(this.#segment.entryCount, fromIndex + MAX_STEPS)
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
    let from = this.#from[destination]!
    if (Number.isNaN(from)) {
      from = wantedFrom(this.#request, this.#index.names[destination]!)
      this.#from[destination] = from
    }
    return this.#segment.sequenceAt(index) >= from
  }
}

/** Reads one piece of the log. */
export type ReadLog = (request: ReadRequest) => Promise<ReadResult>
