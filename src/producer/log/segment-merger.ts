import { tryTo } from '../../core/node-errors.js'
import { encodeEntry, type StoredEntry, stampEntry } from './entry.js'
import type { LogReader } from './entry-reader.js'
import { READ_BYTES } from './entry-reader.js'
import { type LogDirectory, mergeName, segmentName, withFile } from './files.js'
import { LogSegment } from './segment.js'
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'
import type { SegmentList } from './segment-list.js'
import { encodeSeal } from './segment-writer.js'
import { readable, UnreadableSegment } from './unreadable.js'

export interface SegmentMergerOptions {
  readonly directory: LogDirectory
  readonly segments: SegmentList
  readonly reader: LogReader
  readonly segmentBytes: number
  readonly newSalt: () => number
  readonly report: (fields: object, message: string) => void
}

/** A segment whose share of open entries is less than this is sparse. */
const SPARSE_SHARE = 1 / 4
/** One merge copies no more than this, so that the thread is soon free for appends. A sparse segment is merged in any case. */
const COPIED_BYTES = 4 * 1024 * 1024
/** One merge looks at no more entries than this, open or not. */
const MAX_ENTRIES = 1_000_000
/** Entries are written in pieces of this size. */
const WRITE_BYTES = 4 * 1024 * 1024

/**
 * Makes one small segment of segments in which hardly any entry is still open: a topic that is stuck for days then
 * keeps only its own records on the disk, not all those written in between.
 *
 *   segments     [a . . .] [. . a b] [. . . a] [c c c c]
 *   merged    [a a b a]                     [c c c c]      sequences stay what they were
 *
 * The new segment is complete and synced before its name replaces that of the first one, and only then the others are
 * removed. Its header names the last segment that it replaces: if a crash leaves replaced segments behind, they are not
 * read.
 */
export class SegmentMerger {
  readonly #options: SegmentMergerOptions

  constructor(options: SegmentMergerOptions) {
    this.#options = options
  }

  /** Approximate bytes of completed entries in segments that could be merged. */
  get wastedBytes(): number {
    return this.#options.segments.all.reduce(
      (sum, segment) => sum + (isSparse(segment) ? segment.endBytes - openBytesOf(segment) : 0),
      0
    )
  }

  /**
   * Merges the oldest run of sparse segments, if there is one. When that fails, they stay as they are.
   *
   * @throws UnreadableSegment
   */
  mergeNext(): void {
    const run = this.#nextRun()
    if (run.length === 0) return
    let merged: LogSegment | undefined
    try {
      merged = this.#merge(run)
    } catch (error) {
      tryTo(() => this.#options.directory.remove(mergeName(run[0]!.id)))
      if (error instanceof UnreadableSegment) throw error
    }
    if (merged) this.#replace(run, merged)
  }

  /** Consecutive segments, at least one of them sparse, and none of those between them set aside. */
  #nextRun(): readonly LogSegment[] {
    const { all, aside } = this.#options.segments
    let run: LogSegment[] = []
    for (const segment of all) {
      const from = run[0]?.id ?? segment.id
      const isNext = fits([...run, segment]) && !aside.some(({ id }) => id > from && id < segment.id)
      const isTaken = isSparse(segment) || this.#isSmall(segment)
      if (isTaken && (run.length === 0 || isNext)) {
        run.push(segment)
        continue
      }
      if (run.some(isSparse)) return run
      run = isTaken ? [segment] : []
    }
    return run.some(isSparse) ? run : []
  }

  /** A merged segment that can take more. */
  #isSmall(segment: LogSegment): boolean {
    return segment.sequences !== undefined && isWhole(segment) && segment.endBytes <= this.#options.segmentBytes / 4
  }

  /** @returns `undefined` when an entry turns out to be damaged: then the segment is kept for the operator @throws when the disk does */
  #merge(run: readonly LogSegment[]): LogSegment | undefined {
    const { directory, newSalt } = this.#options
    const entries = this.#openEntriesOf(run)
    if (!run.every(isWhole)) return undefined
    const header = { ...this.#headerOf(run[0]!), salt: newSalt(), mergedUpTo: this.#lastIdOf(run.at(-1)!) }
    const segment = writeMerged(directory, header, entries)
    directory.rename(mergeName(header.id), segmentName(header.id))
    return segment
  }

  #openEntriesOf(run: readonly LogSegment[]): StoredEntry[] {
    const entries: StoredEntry[] = []
    const { endSequence } = run.at(-1)!
    for (let fromSequence = run[0]!.firstSequence; fromSequence < endSequence; ) {
      const read = this.#options.reader.read({ fromSequence, maxBytes: READ_BYTES }, endSequence)
      for (const entry of read.entries) if (entry.sequence < endSequence) entries.push(entry)
      fromSequence = read.isAtEnd ? endSequence : read.nextSequence
    }
    return entries
  }

  #headerOf(segment: LogSegment): SegmentHeader {
    const { name } = segment
    return readable(segment, () => {
      const bytes = withFile(this.#options.directory, name, file => file.read(0, SEGMENT_HEADER_BYTES))
      const header = decodeSegmentHeader(bytes)
      if (typeof header === 'string') throw new Error(`the header of ${name} is damaged`)
      return header
    })
  }

  #lastIdOf(segment: LogSegment): number {
    return this.#headerOf(segment).mergedUpTo ?? segment.id
  }

  #replace(run: readonly LogSegment[], merged: LogSegment): void {
    const { directory, segments, report } = this.#options
    const bytesBefore = run.reduce((sum, { endBytes }) => sum + endBytes, 0)
    segments.replace(run, merged)
    report(
      { segments: run.length, bytesBefore, bytesAfter: merged.endBytes, records: merged.entryCount },
      'segments of the durable log with few records left were merged into one'
    )
    // Until the new name is durable, a power cut may undo it: then all the old segments are needed.
    if (!tryTo(() => directory.sync())) return
    for (const { name } of run.slice(1)) tryTo(() => directory.remove(name))
    tryTo(() => directory.sync())
  }
}

/** A segment with damage in it is kept unchanged. */
const isWhole = ({ isClosed, damagedCount, openCount }: LogSegment): boolean =>
  isClosed && damagedCount === 0 && openCount > 0

const isSparse = (segment: LogSegment): boolean =>
  isWhole(segment) && segment.openCount <= segment.entryCount * SPARSE_SHARE

const openBytesOf = ({ endBytes, openCount, entryCount }: LogSegment): number => (endBytes * openCount) / entryCount

const sumOf = (segments: readonly LogSegment[], of: (segment: LogSegment) => number): number =>
  segments.reduce((sum, segment) => sum + of(segment), 0)

const fits = (run: readonly LogSegment[]): boolean =>
  sumOf(run, openBytesOf) <= COPIED_BYTES && sumOf(run, ({ entryCount }) => entryCount) <= MAX_ENTRIES

/**
 * Writes a merged segment, complete and synced, under the name that it has until it is renamed.
 *
 * @param entries those that are open, by rising sequences
 * @throws when the disk does
 */
export function writeMerged(
  directory: LogDirectory,
  header: SegmentHeader,
  entries: Iterable<StoredEntry>
): LogSegment {
  const index = new SegmentIndex()
  const sequences: number[] = []
  const file = directory.open(mergeName(header.id), 'create')
  let [writtenBytes, endBytes] = [0, SEGMENT_HEADER_BYTES]
  let pieces = [encodeSegmentHeader(header)]
  const flush = (): void => {
    const bytes = Buffer.concat(pieces)
    file.write(bytes, writtenBytes)
    writtenBytes += bytes.length
    pieces = []
  }
  try {
    for (const { sequence, destination, body, acceptedAtMs } of entries) {
      const piece = encodeEntry(destination, body, acceptedAtMs)
      stampEntry(piece, 0, { sequence, salt: header.salt, unsyncedCount: sequences.length })
      index.add(destination, endBytes)
      sequences.push(sequence)
      pieces.push(piece)
      endBytes += piece.length
      if (endBytes - writtenBytes > WRITE_BYTES) flush()
    }
    const extent = { endBytes, entryCount: sequences.length }
    const segment = new LogSegment(header, extent, Float64Array.from(sequences))
    segment.isClosed = true
    pieces.push(encodeSeal(segment, index))
    flush()
    file.sync()
    return segment
  } finally {
    file.close()
  }
}
