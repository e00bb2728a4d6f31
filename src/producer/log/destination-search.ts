import { segmentIndexOf } from './recovery.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndex } from './segment-index.js'
import type { SegmentIndexes } from './segment-indexes.js'

/** Asks which destinations of a cluster have entries that are not completed. */
export interface DestinationSearch {
  /** Entries with a lower sequence are not looked at. */
  readonly fromSequence: number
  /** The first part of the destinations. */
  readonly cluster: string
  /** Destinations that are known already. */
  readonly except: ReadonlySet<string>
  readonly maxDestinations: number
}

export interface FoundDestinations {
  /** With the sequence of the first entry of each, in the order in which they stand in the log. */
  readonly destinations: ReadonlyMap<string, number>
  /** Where to go on: everything before has been looked at. */
  readonly nextSequence: number
  readonly isAtEnd: boolean
}

/** One call looks at so many places of indexes, so that the thread is soon free for appends. */
const MAX_STEPS = 500_000

/**
 * Looks through the indexes of the segments, without a look at the entries.
 *
 * @throws when a segment cannot be read
 */
export function searchDestinations(
  segments: readonly LogSegment[],
  indexes: SegmentIndexes,
  request: DestinationSearch
): FoundDestinations {
  const destinations = new Map<string, number>()
  let nextSequence = request.fromSequence
  let steps = 0
  for (let at = segmentIndexOf(segments, nextSequence); at < segments.length; at++) {
    const segment = segments[at]!
    nextSequence = Math.max(nextSequence, segment.firstSequence)
    if (segment.openCount === 0) continue
    const index = indexes.of(segment)
    const isWanted = wantedIn(index, request)
    for (let place = segment.placeOf(nextSequence); place < segment.entryCount; place++, steps++) {
      nextSequence = segment.sequenceAt(place)
      if (steps >= MAX_STEPS) return { destinations, nextSequence, isAtEnd: false }
      if (segment.done.has(place) || !isWanted[index.destinationAt(place)]) continue
      const name = index.names[index.destinationAt(place)]!
      if (destinations.has(name)) continue
      if (destinations.size >= request.maxDestinations) return { destinations, nextSequence, isAtEnd: false }
      destinations.set(name, nextSequence)
    }
    nextSequence = segment.endSequence
  }
  return { destinations, nextSequence, isAtEnd: true }
}

const wantedIn = ({ names }: SegmentIndex, { cluster, except }: DestinationSearch): readonly boolean[] =>
  names.map(
    name =>
      name.length > cluster.length + 1 &&
      name.startsWith(`${cluster}/`) &&
      !name.includes('/', cluster.length + 1) &&
      !except.has(name)
  )
