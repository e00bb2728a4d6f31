import type { LogDirectory, LogFile } from './files.js'
import { rebuildMerged } from './scan-merged.js'
import { scanSegment } from './scan-segment.js'
import { readSealedIndex } from './seal.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndex } from './segment-index.js'
import { withFile } from './with-file.js'

/** Room for the indexes of 4 million entries. */
const MAX_BYTES = 32 * 1024 * 1024

/** The indexes of segments: of the open one always, of the others those that were asked for last; the rest stay on disk. */
export class SegmentIndexes {
  readonly #directory: LogDirectory
  readonly #onDamaged: (segment: LogSegment) => void
  readonly #maxBytes: number
  readonly #growing = new Map<LogSegment, SegmentIndex>()
  /** Least recently used first. */
  readonly #kept = new Map<LogSegment, SegmentIndex>()
  #keptBytes = 0

  /** @param onDamaged an entry is lost that was not known to be */
  constructor(directory: LogDirectory, onDamaged: (segment: LogSegment) => void, maxBytes = MAX_BYTES) {
    this.#directory = directory
    this.#onDamaged = onDamaged
    this.#maxBytes = maxBytes
  }

  /** @throws when the segment cannot be read */
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

  /** As the most recently used one. */
  keep(segment: LogSegment, index: SegmentIndex): void {
    this.#drop(segment)
    this.#kept.set(segment, index)
    this.#keptBytes += index.memoryBytes
    for (const oldest of this.#kept.keys()) {
      if (this.#keptBytes <= this.#maxBytes || oldest === segment) return
      this.#drop(oldest)
    }
  }

  /** The segment will be removed. */
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

  /** What the seal says; what a scan says of a segment whose seal is missing or damaged. */
  #load(segment: LogSegment): SegmentIndex {
    return withFile(
      this.#directory,
      segment.name,
      file => readSealedIndex(file, segment) ?? this.#rebuild(file, segment)
    )
  }

  #rebuild(file: LogFile, segment: LogSegment): SegmentIndex {
    const index = segment.sequences === undefined ? scanSegment(file, segment).index : rebuildMerged(file, segment)
    while (index.count < segment.entryCount) index.addLost()
    for (let at = 0; at < index.count; at++) {
      if (index.isLost(at) && segment.damaged(segment.sequenceAt(at))) this.#onDamaged(segment)
    }
    return index
  }
}
