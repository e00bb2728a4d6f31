import type { LogSegment } from './segment.js'
import type { SegmentIndex } from './segment-index.js'
import type { SegmentIndexes } from './segment-indexes.js'

/** What waits for one destination. */
export interface DestinationBacklog {
  /** Of the oldest entry that is not completed. */
  readonly firstSequence: number
  readonly openEntries: number
}

/**
 * Who has entries in the log that are not completed. Looks at the index of every segment.
 *
 * @throws when a segment cannot be read
 */
export function backlogOf(segments: readonly LogSegment[], indexes: SegmentIndexes): Map<string, DestinationBacklog> {
  const backlog = new Map<string, { firstSequence: number; openEntries: number }>()
  for (const segment of segments) {
    if (segment.openCount === 0) continue
    const index = indexes.of(segment)
    const counts = countOpen(segment, index)
    for (const [destination, { first, count }] of counts) {
      const name = index.names[destination]!
      const before = backlog.get(name)
      if (before) before.openEntries += count
      else backlog.set(name, { firstSequence: segment.sequenceAt(first), openEntries: count })
    }
  }
  return backlog
}

/** Open entries of a segment by the number of their destination. */
function countOpen(segment: LogSegment, index: SegmentIndex): Map<number, { readonly first: number; count: number }> {
  const counts = new Map<number, { readonly first: number; count: number }>()
  for (let at = 0; at < segment.entryCount; at++) {
    if (segment.done.has(at)) continue
    const destination = index.destinationAt(at)
    const before = counts.get(destination)
    if (before) before.count++
    else counts.set(destination, { first: at, count: 1 })
  }
  return counts
}
