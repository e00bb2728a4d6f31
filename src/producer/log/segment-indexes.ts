import type { MonotonicClock } from '../../core/model.js'
import { type LogDirectory, type LogFile, type ReadableFile, withFile } from './files.js'
import { isShortage, ReadableParts } from './read-troubles.js'
import { rebuildMerged, scanSegment } from './scan-segment.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndex } from './segment-index.js'
import { readSealedIndex } from './segment-writer.js'

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
  /** Pages that the last attempt to salvage a segment could not read. */
  readonly #badPages = new Map<LogSegment, ReadonlySet<number>>()

  /** @param onDamaged an entry turns out to be lost */
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

  /** Whether the index is in memory. */
  has(segment: LogSegment): boolean {
    return this.#growing.has(segment) || this.#kept.has(segment)
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
    this.#badPages.delete(segment)
    this.#growing.delete(segment)
    this.#drop(segment)
  }

  #drop(segment: LogSegment): void {
    const index = this.#kept.get(segment)
    if (!index) return
    this.#kept.delete(segment)
    this.#keptBytes -= index.memoryBytes
  }

  /** The index in the seal, or of a scan if the seal is missing, or damaged, or cannot be read. */
  #load(segment: LogSegment): SegmentIndex {
    return withFile(
      this.#directory,
      segment.name,
      file => sealedIndex(file, segment) ?? this.#noted(segment, scanned(file, segment))
    )
  }

  /**
   * Makes the index of the entries that the disk can read, and gives up the others, if an earlier call met the same pages
   * that cannot be read: a page that failed once may be readable soon.
   *
   * @returns whether there is an index now
   * @throws when the segment cannot be opened, or for a shortage
   */
  salvage(segment: LogSegment, clock: MonotonicClock): boolean {
    return withFile(this.#directory, segment.name, file => {
      const parts = new ReadableParts(file, clock)
      const index = scanned(parts, segment)
      const before = this.#badPages.get(segment)
      this.#badPages.set(segment, parts.badPages)
      if (before === undefined || [...parts.badPages].some(page => !before.has(page))) return false
      this.keep(segment, this.#noted(segment, index))
      return true
    })
  }

  /** Tells of the entries that are lost. */
  #noted(segment: LogSegment, index: SegmentIndex): SegmentIndex {
    for (let at = 0; at < index.count; at++) {
      if (index.isLost(at) && segment.damaged(segment.sequenceAt(at))) this.#onDamaged(segment)
    }
    return index
  }
}

/** The index of the entries that are found. */
function scanned(file: ReadableFile, segment: LogSegment): SegmentIndex {
  const index = segment.sequences === undefined ? scanSegment(file, segment).index : rebuildMerged(file, segment)
  while (index.count < segment.entryCount) index.addLost()
  return index
}

/** @returns `undefined` also where the disk cannot read the seal: it may be able to read the entries */
function sealedIndex(file: LogFile, segment: LogSegment): SegmentIndex | undefined {
  try {
    return readSealedIndex(file, segment)
  } catch (error) {
    if (isShortage(error)) throw error
    return undefined
  }
}
