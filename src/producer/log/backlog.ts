import type { Slab } from './segment.js'
import type { SlabIndex } from './segment-index.js'
import type { SlabIndexes } from './segment-indexes.js'

/** What waits for one destination. */
export interface DestinationBacklog {
  /** Of the oldest entry that is not completed. */
  readonly firstSequence: number
  readonly openEntries: number
}

/**
 * Who has entries in the log that are not completed. Looks at the index of every slab.
 *
 * @throws when a slab cannot be read
 */
export function backlogOf(slabs: readonly Slab[], indexes: SlabIndexes): Map<string, DestinationBacklog> {
  const backlog = new Map<string, { firstSequence: number; openEntries: number }>()
  for (const slab of slabs) {
    if (slab.openCount === 0) continue
    const index = indexes.of(slab)
    const counts = countOpen(slab, index)
    for (const [destination, { first, count }] of counts) {
      const name = index.names[destination]!
      const before = backlog.get(name)
      if (before) before.openEntries += count
      else backlog.set(name, { firstSequence: slab.sequenceAt(first), openEntries: count })
    }
  }
  return backlog
}

/** Open entries of a slab by the number of their destination. */
function countOpen(slab: Slab, index: SlabIndex): Map<number, { readonly first: number; count: number }> {
  const counts = new Map<number, { readonly first: number; count: number }>()
  for (let at = 0; at < slab.entryCount; at++) {
    if (slab.done.has(at)) continue
    const destination = index.destinationAt(at)
    const before = counts.get(destination)
    if (before) before.count++
    else counts.set(destination, { first: at, count: 1 })
  }
  return counts
}
