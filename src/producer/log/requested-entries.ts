import { type ReadRequest, wantedFrom } from './read-request.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndex } from './segment-index.js'

/** Entries of one segment that are read at once, because they lie together. */
export interface Run {
  /** Places in the index, rising. Empty when nothing that is wanted was found. */
  readonly members: readonly number[]
  readonly offset: number
  readonly endBytes: number
  /** Everything wanted before this place is in this run, or was in an earlier one. */
  readonly nextIndex: number
}

/** Fewer bytes than this between two wanted entries are read and thrown away: a second read takes longer. */
const MAX_GAP_BYTES = 16 * 1024
/** A look at so many places of an index takes some milliseconds. */
const MAX_STEPS = 500_000

/** Which entries of a segment a request wants, as its index tells. */
export class WantedEntries {
  readonly #segment: LogSegment
  readonly #index: SegmentIndex
  readonly #request: ReadRequest
  /** By the number of the destination; NaN until it was asked for. */
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
