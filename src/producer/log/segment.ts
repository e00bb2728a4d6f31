import { segmentName } from './files.js'
import { SEGMENT_HEADER_BYTES, type SegmentIdentity } from './segment-header.js'

/** A run of sequences: `first`, `first + 1`, … */
export interface SequenceRange {
  readonly first: number
  readonly count: number
}

/** Which entries of one segment are completed: one bit each, allocated when the first entry is completed. */
export class DoneSet {
  #count = 0
  #bits = new Uint8Array(0)

  get count(): number {
    return this.#count
  }

  has(index: number): boolean {
    return ((this.#bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0
  }

  /** Returns false when it was there already. */
  add(index: number): boolean {
    if (this.has(index)) return false
    const byte = index >> 3
    if (byte >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(byte + 1, this.#bits.length * 2, 64))
      larger.set(this.#bits)
      this.#bits = larger
    }
    this.#bits[byte]! |= 1 << (index & 7)
    this.#count++
    return true
  }

  /** The runs of indexes that are in the set, in ascending order. */
  *runs(): Generator<{ readonly first: number; readonly count: number }> {
    const end = this.#bits.length * 8
    for (let index = 0; index < end; index++) {
      if (!this.has(index)) continue
      const first = index
      while (this.has(index)) index++
      yield { first, count: index - first }
    }
  }
}

/** The part of a segment that is always in memory: the number of its entries, and which of them are completed. */
export class LogSegment {
  readonly id: number
  readonly salt: number
  readonly firstSequence: number
  readonly done = new DoneSet()
  /** Valid length of the file; bytes behind it are ignored. */
  endBytes: number
  entryCount: number
  /** Takes no more appends. */
  isClosed = false
  /** Entries that cannot be read, and are counted as completed. */
  damagedCount = 0
  /** The part of the damaged entries that was cut off at the end. */
  cutCount = 0
  /** Sequences of the entries of a merged segment, rising, with gaps; `undefined` for others, which have no gaps. */
  readonly sequences: Float64Array | undefined

  constructor(
    { id, salt, firstSequence }: SegmentIdentity,
    { endBytes, entryCount }: SegmentExtent = { endBytes: SEGMENT_HEADER_BYTES, entryCount: 0 },
    sequences?: Float64Array
  ) {
    this.id = id
    this.salt = salt
    // The header of a segment that was put back may have a lower one, from a guess.
    this.firstSequence = sequences?.[0] ?? firstSequence
    this.endBytes = endBytes
    this.entryCount = entryCount
    this.sequences = sequences
  }

  get name(): string {
    return segmentName(this.id)
  }
  /** The sequence behind the last entry. */
  get endSequence(): number {
    if (this.sequences === undefined) return this.firstSequence + this.entryCount
    return (this.sequences.at(-1) ?? this.firstSequence - 1) + 1
  }
  get openCount(): number {
    return this.entryCount - this.done.count
  }
  /** Every entry is completed, and none will come. */
  get isFinished(): boolean {
    return this.isClosed && this.openCount === 0
  }

  /** The entries reach this far now. */
  reach(endBytes: number, entryCount: number): void {
    this.endBytes = endBytes
    this.entryCount = entryCount
  }

  /** Place, counted from 0, of the first entry whose sequence is at least `sequence`. */
  placeOf(sequence: number): number {
    if (this.sequences === undefined) return Math.min(this.entryCount, Math.max(0, sequence - this.firstSequence))
    let low = 0
    let high = this.sequences.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.sequences[middle]! < sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Sequence of the entry at index `place`; behind the last entry: the sequence that follows it. */
  sequenceAt(place: number): number {
    if (place >= this.entryCount) return this.endSequence
    return this.sequences === undefined ? this.firstSequence + place : this.sequences[place]!
  }

  holds(sequence: number): boolean {
    const place = this.placeOf(sequence)
    return place < this.entryCount && this.sequenceAt(place) === sequence
  }

  /** Returns false when the entry is not of this segment, or was completed before. */
  complete(sequence: number): boolean {
    return this.completeBetween(sequence, sequence + 1) > 0
  }

  /**
   * Completes the entries with sequences from `first` to `end`, without `end`. Returns how many entries had been open.
   */
  completeBetween(first: number, end: number): number {
    const before = this.done.count
    const endPlace = this.placeOf(end)
    for (let place = this.placeOf(first); place < endPlace; place++) this.done.add(place)
    return this.done.count - before
  }

  /** The sequences of completed entries, as runs. */
  *completed(): Generator<SequenceRange> {
    for (const { first, count } of this.done.runs()) {
      if (this.sequences === undefined) yield { first: this.firstSequence + first, count }
      else for (let place = first; place < first + count; place++) yield { first: this.sequences[place]!, count: 1 }
    }
  }

  /** An entry is lost to damage: it counts as completed, so that the segment can end. */
  damaged(sequence: number): boolean {
    if (!this.complete(sequence)) return false
    this.damagedCount++
    return true
  }
}

/** How far the entries of a segment reach. */
export interface SegmentExtent {
  readonly endBytes: number
  readonly entryCount: number
}

/** Completes a run of sequences in all segments that hold them. @returns how many had been open */
export function completeRange(segments: readonly LogSegment[], { first, count }: SequenceRange): number {
  let newly = 0
  for (let index = segmentIndexOf(segments, first); index < segments.length; index++) {
    const segment = segments[index]!
    if (segment.firstSequence >= first + count) break
    newly += segment.completeBetween(first, first + count)
  }
  return newly
}

/** Index of the segment that holds `sequence`, or of the first one behind it. */
export function segmentIndexOf(segments: readonly LogSegment[], sequence: number): number {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (segments[middle]!.endSequence <= sequence) low = middle + 1
    else high = middle
  }
  return low
}
