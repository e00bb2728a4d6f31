import { type LogDirectory, type ReadableFile, withFile } from './files.js'
import { scanSegment } from './scan-segment.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndex } from './segment-index.js'
import { readSealedIndex } from './segment-writer.js'
import { readable, UnreadableSegment } from './unreadable.js'

/** Enough for the indexes of 4 million entries. */
const MAX_BYTES = 32 * 1024 * 1024

/** The indexes of segments: always that of the open segment, and those used last; the others stay on disk. */
export class SegmentIndexes {
  readonly #directory: LogDirectory
  readonly #onDamaged: (segment: LogSegment) => void
  readonly #maxBytes: number
  readonly #growing = new Map<LogSegment, SegmentIndex>()
  /** Least recently used first. */
  readonly #kept = new Map<LogSegment, SegmentIndex>()
  #keptBytes = 0

  /** @param onDamaged an entry turns out to be lost */
  constructor(directory: LogDirectory, onDamaged: (segment: LogSegment) => void, maxBytes = MAX_BYTES) {
    this.#directory = directory
    this.#onDamaged = onDamaged
    this.#maxBytes = maxBytes
  }

  /** @throws UnreadableSegment */
  of(segment: LogSegment): SegmentIndex {
    const index = this.#growing.get(segment) ?? this.#kept.get(segment) ?? this.#load(segment)
    if (!this.#growing.has(segment)) this.keep(segment, index)
    return index
  }

  /** A new segment: its index stays here until the segment is closed. */
  grow(segment: LogSegment, index: SegmentIndex): void {
    this.#growing.set(segment, index)
  }

  closed(segment: LogSegment): void {
    const index = this.#growing.get(segment)
    if (!index) return
    this.#growing.delete(segment)
    this.keep(segment, index)
  }

  /** Keeps the index in memory, as the most recently used one. */
  keep(segment: LogSegment, index: SegmentIndex): void {
    this.#drop(segment)
    this.#kept.set(segment, index)
    this.#keptBytes += index.memoryBytes
    for (const oldest of this.#kept.keys()) {
      if (this.#keptBytes <= this.#maxBytes || oldest === segment) return
      this.#drop(oldest)
    }
  }

  /** Releases what is kept of a segment that is going to be removed. */
  forget(segment: LogSegment): void {
    this.#growing.delete(segment)
    this.#drop(segment)
  }

  #drop(segment: LogSegment): void {
    const index = this.#kept.get(segment)
    if (!index) return
    this.#kept.delete(segment)
    this.#keptBytes -= index.memoryBytes
  }

  /** The index in the seal, or of a scan if the seal is missing or damaged. */
  #load(segment: LogSegment): SegmentIndex {
    return readable(segment, () =>
      withFile(
        this.#directory,
        segment.name,
        file => readSealedIndex(file, segment) ?? this.#noted(segment, scanned(file, segment))
      )
    )
  }

  /** Tells of the entries that are lost. */
  #noted(segment: LogSegment, index: SegmentIndex): SegmentIndex {
    for (let at = 0; at < index.count; at++) {
      if (index.isLost(at) && segment.damaged(segment.sequenceAt(at))) this.#onDamaged(segment)
    }
    return index
  }
}

/** The index of the entries that are found. @throws UnreadableSegment for a merged segment: only its seal tells its sequences */
function scanned(file: ReadableFile, segment: LogSegment): SegmentIndex {
  if (segment.sequences !== undefined) throw new UnreadableSegment(segment, new Error('its seal is damaged'))
  const { index } = scanSegment(file, segment)
  while (index.count < segment.entryCount) index.addLost()
  return index
}
