import { DoneSet } from './done-set.js'
import type { SlabHeader } from './slab-header.js'
import { SLAB_HEADER_BYTES } from './slab-header.js'

/** One place in the index of a slab is remembered for about this many bytes. */
const INDEX_STEP_BYTES = 1024 * 1024

export const slabName = (id: number): string => `${String(id).padStart(16, '0')}.slab`

/** The id in the name of a slab, `undefined` for any other file. */
export const slabIdOf = (name: string): number | undefined => {
  const digits = /^(\d{16})\.slab$/.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** What is kept in memory of one slab: where its entries are, which are completed, and for which destinations. */
export class Slab {
  readonly id: number
  readonly salt: number
  readonly firstSequence: number
  readonly done = new DoneSet()
  /** Entries per destination. */
  readonly destinations: Map<string, number>
  /** `[sequence, offset]`, rising. */
  readonly index: [number, number][]
  /** Valid length: what lies behind it does not count. */
  endBytes: number
  entryCount: number
  /** Nothing is appended any more. */
  isClosed = false
  /** Entries that cannot be read, and are counted as completed. */
  damagedCount = 0

  constructor(
    { id, salt, firstSequence }: Pick<SlabHeader, 'id' | 'salt' | 'firstSequence'>,
    contents: {
      readonly endBytes: number
      readonly entryCount: number
      readonly destinations: Map<string, number>
      readonly index: [number, number][]
    } = { endBytes: SLAB_HEADER_BYTES, entryCount: 0, destinations: new Map(), index: [] }
  ) {
    this.id = id
    this.salt = salt
    this.firstSequence = firstSequence
    this.endBytes = contents.endBytes
    this.entryCount = contents.entryCount
    this.destinations = contents.destinations
    this.index = contents.index
  }

  get name(): string {
    return slabName(this.id)
  }
  /** The sequence behind the last entry. */
  get endSequence(): number {
    return this.firstSequence + this.entryCount
  }
  get openCount(): number {
    return this.entryCount - this.done.count
  }
  /** Every entry is completed, and none will come. */
  get isFinished(): boolean {
    return this.isClosed && this.openCount === 0
  }

  /** Takes note of the entry that ends at `endBytes` now. */
  added(destination: string, sizeBytes: number): void {
    const sequence = this.endSequence
    const indexedAt = this.index.at(-1)?.[1]
    if (indexedAt === undefined || this.endBytes - indexedAt >= INDEX_STEP_BYTES) {
      this.index.push([sequence, this.endBytes])
    }
    this.destinations.set(destination, (this.destinations.get(destination) ?? 0) + 1)
    this.entryCount++
    this.endBytes += sizeBytes
  }

  /** Returns false when the entry is not of this slab, or was completed before. */
  complete(sequence: number): boolean {
    const index = sequence - this.firstSequence
    return index >= 0 && index < this.entryCount && this.done.add(index)
  }

  isDone(sequence: number): boolean {
    return this.done.has(sequence - this.firstSequence)
  }

  /** An entry is lost to damage: it counts as completed, so that the slab can end. */
  damaged(sequence: number): boolean {
    if (!this.complete(sequence)) return false
    this.damagedCount++
    return true
  }

  /** Where to begin reading for `sequence`: the last indexed place at or before it. */
  seek(sequence: number): { readonly sequence: number; readonly offset: number } {
    let low = 0
    let high = this.index.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.index[middle]![0] <= sequence) low = middle + 1
      else high = middle
    }
    const [at, offset] = this.index[low - 1] ?? [this.firstSequence, SLAB_HEADER_BYTES]
    return { sequence: at, offset }
  }
}
