import { DoneSet, type SequenceRange } from './done-set.js'
import { segmentName } from './file-names.js'
import type { SegmentHeader } from './segment-header.js'
import { SEGMENT_HEADER_BYTES } from './segment-header.js'

/** What is always kept in memory of one segment: how many entries it has, and which of them are completed. */
export class LogSegment {
  readonly id: number
  readonly salt: number
  readonly firstSequence: number
  readonly done = new DoneSet()
  /** Valid length: what lies behind it does not count. */
  endBytes: number
  entryCount: number
  /** Nothing is appended any more. */
  isClosed = false
  /** Entries that cannot be read, and are counted as completed. */
  damagedCount = 0
  /** Of these, entries at its end that were cut off. */
  cutCount = 0
  /** Of a merged segment: the sequence of each entry, rising, with gaps. Of others they have none. */
  readonly sequences: Float64Array | undefined

  constructor(
    { id, salt, firstSequence }: Pick<SegmentHeader, 'id' | 'salt' | 'firstSequence'>,
    { endBytes, entryCount }: SegmentExtent = { endBytes: SEGMENT_HEADER_BYTES, entryCount: 0 },
    sequences?: Float64Array
  ) {
    this.id = id
    this.salt = salt
    this.firstSequence = firstSequence
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

  /** Which entry, counted from 0, is the first one whose sequence is not below `sequence`. */
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

  /** Of the entry at a place; behind the last one, the sequence that follows it. */
  sequenceAt(place: number): number {
    if (place >= this.entryCount) return this.endSequence
    return this.sequences === undefined ? this.firstSequence + place : this.sequences[place]!
  }

  /** Returns false when the entry is not of this segment, or was completed before. */
  complete(sequence: number): boolean {
    return this.completeBetween(sequence, sequence + 1) > 0
  }

  /** Completes what has a sequence from `first` to before `end`. Returns how many entries had been open. */
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
