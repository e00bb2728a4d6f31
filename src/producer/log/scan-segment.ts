import type { LogFile } from './files.js'
import { SegmentCursor } from './segment-cursor.js'
import { SEGMENT_HEADER_BYTES } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'

/** What reading a segment from its first entry to its last has found. */
export interface ScannedSegment {
  readonly index: SegmentIndex
  /** Behind the last entry that counts. */
  readonly endBytes: number
  /** Sequences of entries that damage took. */
  readonly damaged: readonly number[]
  /** Sequences of entries that are missing among the last ones, whose sync may not have ended: a power cut took them. */
  readonly torn: readonly number[]
  /** Bytes behind the last good entry when nothing says that it is the last: an append was under way. */
  readonly tornBytes: number
}

export interface ScanRange {
  readonly salt: number
  readonly firstSequence: number
  /** Where the valid part of the file ends. */
  readonly endBytes: number
}

/** Reads every entry of a segment that has no seal, or a damaged one. */
export function scanSegment(file: LogFile, { salt, firstSequence, endBytes }: ScanRange): ScannedSegment {
  const scan = new Scan(firstSequence)
  const cursor = new SegmentCursor(file, salt, SEGMENT_HEADER_BYTES, endBytes)
  for (;;) {
    const offset = cursor.offset
    const found = cursor.next()
    if (found.type === 'end') return scan.torn(endBytes)
    if (found.type === 'gap') continue
    const { sequence } = found
    if (sequence < scan.nextSequence) continue
    scan.loseUpTo(sequence)
    scan.durable(found.durableSequence)
    if (found.kind !== 'record') return scan.ended(offset)
    if (found.type === 'entry') scan.add(found.entry.destination, offset, cursor.offset)
    else scan.loseUpTo(sequence + 1)
  }
}

class Scan {
  readonly #firstSequence: number
  readonly #index = new SegmentIndex()
  readonly #lost: number[] = []
  /** The last good entry. */
  #endBytes = SEGMENT_HEADER_BYTES
  #endSequence: number
  #durableSequence = 0

  constructor(firstSequence: number) {
    this.#firstSequence = firstSequence
    this.#endSequence = firstSequence
  }

  get nextSequence(): number {
    return this.#firstSequence + this.#index.count
  }

  add(destination: string, offset: number, endBytes: number): void {
    this.#index.add(destination, offset)
    this.#endBytes = endBytes
    this.#endSequence = this.nextSequence
  }

  loseUpTo(sequence: number): void {
    for (; this.nextSequence < sequence; this.#index.addLost()) this.#lost.push(this.nextSequence)
  }

  /** Whatever is missing before `sequence` was durable once. */
  durable(sequence: number): void {
    this.#durableSequence = Math.max(this.#durableSequence, sequence)
  }

  /** An end mark or a seal stands at `offset`. */
  ended(offset: number): ScannedSegment {
    return this.#result(offset, 0)
  }

  /** What is lost behind the last good entry was never acknowledged. */
  torn(fileBytes: number): ScannedSegment {
    this.#index.truncate(this.#endSequence - this.#firstSequence)
    return this.#result(this.#endBytes, fileBytes - this.#endBytes)
  }

  #result(endBytes: number, tornBytes: number): ScannedSegment {
    const lost = this.#lost.filter(sequence => sequence < this.nextSequence)
    return {
      index: this.#index,
      endBytes,
      damaged: lost.filter(sequence => sequence < this.#durableSequence),
      torn: lost.filter(sequence => sequence >= this.#durableSequence),
      tornBytes
    }
  }
}
