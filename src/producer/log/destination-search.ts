import { slabIndexOf } from './recovery.js'
import type { Slab } from './segment.js'
import type { SlabIndex } from './segment-index.js'
import type { SlabIndexes } from './segment-indexes.js'

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
 * Looks through the indexes of the slabs, without a look at the entries.
 *
 * @throws when a slab cannot be read
 */
export function searchDestinations(
  slabs: readonly Slab[],
  indexes: SlabIndexes,
  request: DestinationSearch
): FoundDestinations {
  const destinations = new Map<string, number>()
  let nextSequence = request.fromSequence
  let steps = 0
  for (let at = slabIndexOf(slabs, nextSequence); at < slabs.length; at++) {
    const slab = slabs[at]!
    nextSequence = Math.max(nextSequence, slab.firstSequence)
    if (slab.openCount === 0) continue
    const index = indexes.of(slab)
    const isWanted = wantedIn(index, request)
    for (let place = slab.placeOf(nextSequence); place < slab.entryCount; place++, steps++) {
      nextSequence = slab.sequenceAt(place)
      if (steps >= MAX_STEPS) return { destinations, nextSequence, isAtEnd: false }
      if (slab.done.has(place) || !isWanted[index.destinationAt(place)]) continue
      const name = index.names[index.destinationAt(place)]!
      if (destinations.has(name)) continue
      if (destinations.size >= request.maxDestinations) return { destinations, nextSequence, isAtEnd: false }
      destinations.set(name, nextSequence)
    }
    nextSequence = slab.endSequence
  }
  return { destinations, nextSequence, isAtEnd: true }
}

const wantedIn = ({ names }: SlabIndex, { cluster, except }: DestinationSearch): readonly boolean[] =>
  names.map(
    name =>
      name.length > cluster.length + 1 &&
      name.startsWith(`${cluster}/`) &&
      !name.includes('/', cluster.length + 1) &&
      !except.has(name)
  )
