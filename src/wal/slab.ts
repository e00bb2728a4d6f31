import { DoneSet } from './done-set.js'
import { slabName } from './file-names.js'
import type { SlabHeader } from './slab-header.js'
import { SLAB_HEADER_BYTES } from './slab-header.js'

/** What is always kept in memory of one slab: how many entries it has, and which of them are completed. */
export class Slab {
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

  constructor(
    { id, salt, firstSequence }: Pick<SlabHeader, 'id' | 'salt' | 'firstSequence'>,
    { endBytes, entryCount }: SlabExtent = { endBytes: SLAB_HEADER_BYTES, entryCount: 0 }
  ) {
    this.id = id
    this.salt = salt
    this.firstSequence = firstSequence
    this.endBytes = endBytes
    this.entryCount = entryCount
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

  /** The entries reach this far now. */
  reach(endBytes: number, entryCount: number): void {
    this.endBytes = endBytes
    this.entryCount = entryCount
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
}

/** How far the entries of a slab reach. */
export interface SlabExtent {
  readonly endBytes: number
  readonly entryCount: number
}
