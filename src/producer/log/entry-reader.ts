import { decodeEntry, type StoredEntry } from './entry.js'
import type { LogDirectory } from './files.js'
import { OpenSlabs } from './open-segments.js'
import type { ReadRequest, ReadResult } from './read-request.js'
import { slabIndexOf } from './recovery.js'
import { type Run, WantedEntries } from './requested-entries.js'
import type { Slab } from './segment.js'
import type { SlabIndexes } from './segment-indexes.js'
import { tryTo } from './try-to.js'

/** Bytes that are read at once. */
const RUN_BYTES = 1024 * 1024
/** After so many failures in a row the entries of a slab are read one by one, and those that cannot be are given up. */
const MAX_FAILURES = 3

/** Reads entries back from the slabs. Entries that are not wanted cost a look into the slab's index. */
export class LogReader {
  /** The store's own list. */
  readonly #slabs: readonly Slab[]
  readonly #indexes: SlabIndexes
  readonly #files: OpenSlabs
  readonly #onDamaged: (slab: Slab) => void
  readonly #failures = new Map<Slab, number>()

  constructor(directory: LogDirectory, slabs: readonly Slab[], indexes: SlabIndexes, onDamaged: (slab: Slab) => void) {
    this.#slabs = slabs
    this.#indexes = indexes
    this.#files = new OpenSlabs(directory)
    this.#onDamaged = onDamaged
  }

  read(request: ReadRequest, endSequence: number): ReadResult {
    const gathering = new Gathering(request)
    for (;;) {
      const slab = this.#slabs[slabIndexOf(this.#slabs, gathering.nextSequence)]
      if (!slab) {
        gathering.reach(endSequence)
        return gathering.result(true)
      }
      gathering.reach(slab.firstSequence)
      if (slab.openCount === 0) gathering.reach(slab.endSequence)
      else if (!this.#readSlab(slab, gathering)) return gathering.result(false)
    }
  }

  /** The slab will be removed. */
  forget(slab: Slab): void {
    this.#failures.delete(slab)
    this.#indexes.forget(slab)
    this.#files.close(slab)
  }

  close(): void {
    this.#files.closeAll()
  }

  /** Returns false when enough is gathered, true when the slab is through. */
  #readSlab(slab: Slab, gathering: Gathering): boolean {
    try {
      const wanted = new WantedEntries(slab, this.#indexes.of(slab), gathering.request)
      while (gathering.nextSequence < slab.endSequence) {
        if (gathering.isFull) return false
        this.#readNext(slab, wanted, gathering)
      }
    } catch {
      return this.#failed(slab, gathering)
    }
    this.#failures.delete(slab)
    return true
  }

  #readNext(slab: Slab, wanted: WantedEntries, gathering: Gathering): void {
    const isCareful = this.#hasFailed(slab)
    const fromIndex = slab.placeOf(gathering.nextSequence)
    const run = wanted.nextRun(fromIndex, isCareful ? 0 : Math.min(RUN_BYTES, gathering.roomBytes))
    gathering.looked(run.nextIndex - fromIndex)
    if (!isCareful) this.#readRun(slab, run, gathering)
    else if (!tryTo(() => this.#readRun(slab, run, gathering))) {
      for (const index of run.members) this.#lose(slab, slab.sequenceAt(index))
    }
    gathering.reach(slab.sequenceAt(run.nextIndex))
  }

  /** @throws when the file cannot be read */
  #readRun(slab: Slab, { members, offset, endBytes }: Run, gathering: Gathering): void {
    if (members.length === 0) return
    const bytes = this.#files.of(slab).read(offset, endBytes - offset)
    const index = this.#indexes.of(slab)
    for (const member of members) {
      const found = decodeEntry(bytes, index.offsetAt(member) - offset, slab.salt)
      const sequence = slab.sequenceAt(member)
      if (found.type === 'entry' && found.entry.sequence === sequence) gathering.take(found.entry, found.sizeBytes)
      else this.#lose(slab, sequence)
    }
  }

  #lose(slab: Slab, sequence: number): void {
    if (slab.damaged(sequence)) this.#onDamaged(slab)
  }

  #hasFailed(slab: Slab): boolean {
    return (this.#failures.get(slab) ?? 0) >= MAX_FAILURES
  }

  /** The file cannot be read: the caller tries again. When even its index cannot be had, all of it is given up. */
  #failed(slab: Slab, gathering: Gathering): boolean {
    this.#files.close(slab)
    if (!this.#hasFailed(slab)) {
      this.#failures.set(slab, (this.#failures.get(slab) ?? 0) + 1)
      return false
    }
    const first = slab.placeOf(gathering.nextSequence)
    for (let place = first; place < slab.entryCount; place++) this.#lose(slab, slab.sequenceAt(place))
    gathering.reach(slab.endSequence)
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
    return this.roomBytes <= 0 || this.#steps >= MAX_STEPS
  }
  get roomBytes(): number {
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
