import { decodeEntry, type StoredEntry } from './entry.js'
import type { LogDirectory } from './files.js'
import { OpenSegments } from './open-segments.js'
import type { ReadRequest, ReadResult } from './read-request.js'
import { segmentIndexOf } from './recovery.js'
import { type Run, WantedEntries } from './requested-entries.js'
import type { LogSegment } from './segment.js'
import type { SegmentIndexes } from './segment-indexes.js'
import { tryTo } from './try-to.js'

/** Bytes that are read at once. */
const RUN_BYTES = 1024 * 1024
/** After so many failures in a row the entries of a segment are read one by one, and those that cannot be are given up. */
const MAX_FAILURES = 3

/** Reads entries back from the segments. Entries that are not wanted cost a look into the segment's index. */
export class LogReader {
  /** The store's own list. */
  readonly #segments: readonly LogSegment[]
  readonly #indexes: SegmentIndexes
  readonly #files: OpenSegments
  readonly #onDamaged: (segment: LogSegment) => void
  readonly #failures = new Map<LogSegment, number>()

  constructor(
    directory: LogDirectory,
    segments: readonly LogSegment[],
    indexes: SegmentIndexes,
    onDamaged: (segment: LogSegment) => void
  ) {
    this.#segments = segments
    this.#indexes = indexes
    this.#files = new OpenSegments(directory)
    this.#onDamaged = onDamaged
  }

  read(request: ReadRequest, endSequence: number): ReadResult {
    const gathering = new Gathering(request)
    for (;;) {
      const segment = this.#segments[segmentIndexOf(this.#segments, gathering.nextSequence)]
      if (!segment) {
        gathering.reach(endSequence)
        return gathering.result(true)
      }
      gathering.reach(segment.firstSequence)
      if (segment.openCount === 0) gathering.reach(segment.endSequence)
      else if (!this.#readSegment(segment, gathering)) return gathering.result(false)
    }
  }

  /** The segment will be removed. */
  forget(segment: LogSegment): void {
    this.#failures.delete(segment)
    this.#indexes.forget(segment)
    this.#files.close(segment)
  }

  close(): void {
    this.#files.closeAll()
  }

  /** Returns false when enough is gathered, true when the segment is through. */
  #readSegment(segment: LogSegment, gathering: Gathering): boolean {
    try {
      const wanted = new WantedEntries(segment, this.#indexes.of(segment), gathering.request)
      while (gathering.nextSequence < segment.endSequence) {
        if (gathering.isFull) return false
        this.#readNext(segment, wanted, gathering)
      }
    } catch {
      return this.#failed(segment, gathering)
    }
    this.#failures.delete(segment)
    return true
  }

  #readNext(segment: LogSegment, wanted: WantedEntries, gathering: Gathering): void {
    const isCareful = this.#hasFailed(segment)
    const fromIndex = segment.placeOf(gathering.nextSequence)
    const run = wanted.nextRun(fromIndex, isCareful ? 0 : Math.min(RUN_BYTES, gathering.capacityBytes))
    gathering.looked(run.nextIndex - fromIndex)
    if (!isCareful) this.#readRun(segment, run, gathering)
    else if (!tryTo(() => this.#readRun(segment, run, gathering))) {
      for (const index of run.members) this.#lose(segment, segment.sequenceAt(index))
    }
    gathering.reach(segment.sequenceAt(run.nextIndex))
  }

  /** @throws when the file cannot be read */
  #readRun(segment: LogSegment, { members, offset, endBytes }: Run, gathering: Gathering): void {
    if (members.length === 0) return
    const bytes = this.#files.of(segment).read(offset, endBytes - offset)
    const index = this.#indexes.of(segment)
    for (const member of members) {
      const found = decodeEntry(bytes, index.offsetAt(member) - offset, segment.salt)
      const sequence = segment.sequenceAt(member)
      if (found.type === 'entry' && found.entry.sequence === sequence) gathering.take(found.entry, found.sizeBytes)
      else this.#lose(segment, sequence)
    }
  }

  #lose(segment: LogSegment, sequence: number): void {
    if (segment.damaged(sequence)) this.#onDamaged(segment)
  }

  #hasFailed(segment: LogSegment): boolean {
    return (this.#failures.get(segment) ?? 0) >= MAX_FAILURES
  }

  /** The file cannot be read: the caller tries again. When even its index cannot be had, all of it is given up. */
  #failed(segment: LogSegment, gathering: Gathering): boolean {
    this.#files.close(segment)
    if (!this.#hasFailed(segment)) {
      this.#failures.set(segment, (this.#failures.get(segment) ?? 0) + 1)
      return false
    }
    const first = segment.placeOf(gathering.nextSequence)
    for (let place = first; place < segment.entryCount; place++) this.#lose(segment, segment.sequenceAt(place))
    gathering.reach(segment.endSequence)
    return true
  }
}

/** One call does no more than this, so that the thread is soon free for appends: some milliseconds. */
const MAX_STEPS = 1_000_000
/** A read costs about as much as looking at so many places of an index. */
const STEPS_PER_READ = 1_000

/** What one read has brought together so far. */
class Gathering {
  readonly request: ReadRequest
  nextSequence: number
  readonly #entries: StoredEntry[] = []
  #bytes = 0
  #steps = 0

  constructor(request: ReadRequest) {
    this.request = request
    this.nextSequence = request.fromSequence
  }

  get isFull(): boolean {
    return this.capacityBytes <= 0 || this.#steps >= MAX_STEPS
  }
  get capacityBytes(): number {
    return this.request.maxBytes - this.#bytes
  }

  looked(steps: number): void {
    this.#steps += steps + STEPS_PER_READ
  }

  take(entry: StoredEntry, sizeBytes: number): void {
    this.#entries.push(entry)
    this.#bytes += sizeBytes
  }

  /** Everything before `sequence` is done with. */
  reach(sequence: number): void {
    this.nextSequence = Math.max(this.nextSequence, sequence)
  }

  result(isAtEnd: boolean): ReadResult {
    return { entries: this.#entries, nextSequence: this.nextSequence, isAtEnd }
  }
}
