import type { LogFile } from './files.js'
import type { LogSegment } from './segment.js'
import { SegmentCursor } from './segment-cursor.js'
import { SEGMENT_HEADER_BYTES } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'

/** What reading a merged segment from its first entry to its last has found. */
export interface ScannedMergedSegment {
  /** Of the entries that were found. */
  readonly index: SegmentIndex
  readonly sequences: readonly number[]
  /** Behind the last entry. */
  readonly endBytes: number
  readonly lostCount: number
  /** Bytes behind the last entry when no seal stands there. */
  readonly tornBytes: number
}

/** Reads every entry of a merged segment whose seal is damaged. Each says how many stand before it: what is missing is lost. */
export function scanMerged(file: LogFile, salt: number, fileBytes: number): ScannedMergedSegment {
  const index = new SegmentIndex()
  const sequences: number[] = []
  const cursor = new SegmentCursor(file, salt, SEGMENT_HEADER_BYTES, fileBytes)
  let endBytes = SEGMENT_HEADER_BYTES
  let place = 0
  let lostCount = 0
  for (;;) {
    const offset = cursor.offset
    const found = cursor.next()
    if (found.type === 'end') return { index, sequences, endBytes, lostCount, tornBytes: fileBytes - endBytes }
    if (found.type === 'gap') continue
    const before = found.sequence - found.durableSequence
    lostCount += before - place
    place = before
    if (found.kind !== 'record') return { index, sequences, endBytes: offset, lostCount, tornBytes: 0 }
    place++
    endBytes = cursor.offset
    if (found.type === 'entry') {
      index.add(found.entry.destination, offset)
      sequences.push(found.sequence)
    } else lostCount++
  }
}

/** The index of a merged segment whose sequences are known; entries that are not found any more are lost. */
export function rebuildMerged(file: LogFile, { salt, endBytes, sequences }: LogSegment): SegmentIndex {
  const found = scanMerged(file, salt, endBytes)
  const index = new SegmentIndex()
  let at = 0
  for (const sequence of sequences!) {
    if (found.sequences[at] !== sequence) index.addLost()
    else {
      index.add(found.index.names[found.index.destinationAt(at)]!, found.index.offsetAt(at))
      at++
    }
  }
  return index
}
