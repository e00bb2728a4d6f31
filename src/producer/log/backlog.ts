import { type LogSegment, type SequenceRange, segmentIndexOf } from './segment.js'
import type { SegmentIndex } from './segment-index.js'
import type { SegmentIndexes } from './segment-indexes.js'

/** The open entries of one destination. */
export interface DestinationBacklog {
  /** Sequence of the oldest open entry. */
  readonly firstSequence: number
  readonly openEntries: number
}

/**
 * The open entries of each destination. Reads the index of every segment.
 *
 * @throws when a segment cannot be read
 */
export function backlogOf(segments: readonly LogSegment[], indexes: SegmentIndexes): Map<string, DestinationBacklog> {
  const backlog = new Map<string, { readonly firstSequence: number; openEntries: number }>()
  for (const segment of segments) {
    if (segment.openCount === 0) continue
    const index = indexes.of(segment)
    for (const place of openPlaces(segment)) {
      const name = index.names[index.destinationAt(place)]!
      const before = backlog.get(name)
      if (before) before.openEntries++
      else backlog.set(name, { firstSequence: segment.sequenceAt(place), openEntries: 1 })
    }
  }
  return backlog
}

/** The places of open entries with sequences from `first` to `end`, without `end`. */
function* openPlaces(segment: LogSegment, first = segment.firstSequence, end = segment.endSequence): Generator<number> {
  const endPlace = segment.placeOf(end)
  for (let place = segment.placeOf(first); place < endPlace; place++) if (!segment.done.has(place)) yield place
}

/** Segments with open entries that may have sequences from `first` to `end`, without `end`. */
function* segmentsBetween(segments: readonly LogSegment[], first: number, end: number): Generator<LogSegment> {
  for (let at = segmentIndexOf(segments, first); at < segments.length; at++) {
    if (segments[at]!.firstSequence >= end) return
    if (segments[at]!.openCount > 0) yield segments[at]!
  }
}

/** A search for destinations of a cluster that have open entries. */
export interface DestinationSearch {
  /** Entries with a lower sequence are skipped. */
  readonly fromSequence: number
  /** Destinations begin with it. */
  readonly cluster: string
  /** Destinations that are skipped. */
  readonly except: ReadonlySet<string>
  readonly maxDestinations: number
}

export interface FoundDestinations {
  /** The sequence of the first open entry of each, in the order of the log. */
  readonly destinations: ReadonlyMap<string, number>
  /** Sequence from which the search continues: all entries before it were searched. */
  readonly nextSequence: number
  readonly isAtEnd: boolean
}

/** Limit of one call in index positions, so that the thread is soon free for appends. */
const MAX_STEPS = 500_000

/**
 * Searches the indexes of the segments, without reading entries.
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

/** An entry that is not completed. */
export interface OpenEntry {
  readonly sequence: number
  /** `cluster/topic`; absent: the entry is set aside, because the disk cannot read it. */
  readonly destination?: string
}

/**
 * The open entries with sequences from `first` to `end`, without `end`.
 *
 * @throws when a segment cannot be read
 */
export function openBetween(
  segments: readonly LogSegment[],
  indexes: SegmentIndexes,
  first: number,
  end: number
): OpenEntry[] {
  const open: OpenEntry[] = []
  for (const segment of segmentsBetween(segments, first, end)) {
    const index = indexes.of(segment)
    for (const place of openPlaces(segment, first, end))
      open.push({ sequence: segment.sequenceAt(place), destination: index.names[index.destinationAt(place)]! })
  }
  return open
}

/** The open entries with sequences from `first` to `end`, without `end`, as runs. */
export function openRunsBetween(segments: readonly LogSegment[], first: number, end: number): SequenceRange[] {
  const runs: { first: number; count: number }[] = []
  for (const segment of segmentsBetween(segments, first, end)) {
    for (const place of openPlaces(segment, first, end)) {
      const sequence = segment.sequenceAt(place)
      const last = runs.at(-1)
      if (last !== undefined && last.first + last.count === sequence) last.count++
      else runs.push({ first: sequence, count: 1 })
    }
  }
  return runs
}
