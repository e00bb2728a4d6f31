import type { StoredEntry } from './entry.js'
import type { LogDirectory, LogFile } from './files.js'
import { slabIndexOf } from './recovery.js'
import type { Slab } from './slab.js'
import { SlabCursor } from './slab-cursor.js'

export interface ReadRequest {
  /** Entries with a lower sequence are not returned. */
  readonly fromSequence: number
  /** Reading stops once this many bytes of bodies are gathered; one entry is always returned whole. */
  readonly maxBytes: number
  /** Entries for these only; absent: for all. */
  readonly destinations?: ReadonlySet<string> | undefined
}

export interface ReadResult {
  readonly entries: readonly StoredEntry[]
  /** Where to go on: everything asked for before this sequence has been returned. */
  readonly nextSequence: number
  /** Nothing that was asked for lies behind `nextSequence` now. */
  readonly isAtEnd: boolean
}

interface Place {
  readonly slab: Slab
  readonly file: LogFile
  readonly cursor: SlabCursor
  /** Sequence of the entry at the cursor, when nothing is damaged. */
  sequence: number
}

/** One call looks at no more than this, so that the thread is soon free for appends. */
const MAX_SCANNED_BYTES = 8 * 1024 * 1024
/** A slab that cannot be read so many times in a row counts as damaged. */
const MAX_FAILURES = 3

/** Reads entries back from the slabs. Remembers where it stopped, since reading usually goes on there. */
export class LogReader {
  readonly #directory: LogDirectory
  /** The store's own list. */
  readonly #slabs: readonly Slab[]
  readonly #onDamaged: (slab: Slab) => void
  #place: Place | undefined
  readonly #failures = new Map<Slab, number>()

  constructor(directory: LogDirectory, slabs: readonly Slab[], onDamaged: (slab: Slab) => void) {
    this.#directory = directory
    this.#slabs = slabs
    this.#onDamaged = onDamaged
  }

  read(request: ReadRequest, endSequence: number): ReadResult {
    const gathering = new Gathering(request)
    for (;;) {
      const slab = this.#slabs[slabIndexOf(this.#slabs, gathering.nextSequence)]
      if (!slab) return gathering.result(true, Math.max(gathering.nextSequence, endSequence))
      gathering.nextSequence = Math.max(gathering.nextSequence, slab.firstSequence)
      if (slab.openCount === 0 || !gathering.wantsOf(slab)) gathering.nextSequence = slab.endSequence
      else if (!this.#readSlab(slab, gathering)) return gathering.result(false, gathering.nextSequence)
    }
  }

  /** The slab will be removed. */
  forget(slab: Slab): void {
    this.#failures.delete(slab)
    if (this.#place?.slab === slab) this.close()
  }

  close(): void {
    this.#place?.file.close()
    this.#place = undefined
  }

  /** Returns false when enough is gathered, true when the slab is through. */
  #readSlab(slab: Slab, gathering: Gathering): boolean {
    const endSequence = slab.endSequence
    try {
      const place = this.#at(slab, gathering.nextSequence)
      while (place.sequence < endSequence) {
        if (gathering.isFull) return false
        this.#step(place, gathering, endSequence)
      }
    } catch {
      return this.#failed(slab, gathering)
    }
    gathering.nextSequence = endSequence
    this.#failures.delete(slab)
    return true
  }

  #step(place: Place, gathering: Gathering, endSequence: number): void {
    const { slab, cursor } = place
    const found = cursor.next()
    if (found.type === 'gap') return
    const isEnd = found.type === 'end' || (found.type === 'entry' && found.isSeal)
    const sequence = isEnd ? endSequence : found.type === 'entry' ? found.entry.sequence : found.sequence
    for (; place.sequence < sequence; place.sequence++) this.#lose(slab, place.sequence)
    if (!isEnd) {
      place.sequence = sequence + 1
      if (found.type === 'damagedBody') this.#lose(slab, sequence)
      else if (!slab.isDone(sequence)) gathering.take(found.entry, found.sizeBytes)
      else gathering.skip(found.sizeBytes)
    }
    gathering.nextSequence = Math.max(gathering.nextSequence, place.sequence)
  }

  #lose(slab: Slab, sequence: number): void {
    if (slab.damaged(sequence)) this.#onDamaged(slab)
  }

  #at(slab: Slab, sequence: number): Place {
    const place = this.#place
    if (place?.slab === slab && place.sequence === sequence) {
      place.cursor.endBytes = slab.endBytes
      return place
    }
    this.close()
    const start = slab.seek(sequence)
    const file = this.#directory.open(slab.name)
    const cursor = new SlabCursor(file, slab.salt, start.offset, slab.endBytes)
    this.#place = { slab, file, cursor, sequence: start.sequence }
    return this.#place
  }

  /** The file cannot be read: the caller tries again, and after some failures what is left in the slab is given up. */
  #failed(slab: Slab, gathering: Gathering): boolean {
    this.close()
    const failures = (this.#failures.get(slab) ?? 0) + 1
    this.#failures.set(slab, failures)
    if (failures < MAX_FAILURES) return false
    const { endSequence } = slab
    for (let sequence = gathering.nextSequence; sequence < endSequence; sequence++) this.#lose(slab, sequence)
    gathering.nextSequence = endSequence
    return true
  }
}

/** What one read has brought together so far. */
class Gathering {
  nextSequence: number
  readonly #request: ReadRequest
  readonly #entries: StoredEntry[] = []
  #bytes = 0
  #scannedBytes = 0

  constructor(request: ReadRequest) {
    this.#request = request
    this.nextSequence = request.fromSequence
  }

  get isFull(): boolean {
    return this.#bytes >= this.#request.maxBytes || this.#scannedBytes >= MAX_SCANNED_BYTES
  }

  wantsOf(slab: Slab): boolean {
    const { destinations } = this.#request
    if (!destinations) return true
    for (const destination of destinations) if (slab.destinations.has(destination)) return true
    return false
  }

  take(entry: StoredEntry, sizeBytes: number): void {
    this.#scannedBytes += sizeBytes
    const { fromSequence, destinations } = this.#request
    if (entry.sequence < fromSequence || (destinations && !destinations.has(entry.destination))) return
    this.#entries.push(entry)
    this.#bytes += entry.body.length
  }

  skip(sizeBytes: number): void {
    this.#scannedBytes += sizeBytes
  }

  result(isAtEnd: boolean, nextSequence: number): ReadResult {
    return { entries: this.#entries, nextSequence, isAtEnd }
  }
}
