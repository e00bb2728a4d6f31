import type { LogDirectory, LogFile } from './files.js'
import { rebuildMerged } from './scan-merged.js'
import { scanSlab } from './scan-segment.js'
import { readSealedIndex } from './seal.js'
import type { Slab } from './segment.js'
import type { SlabIndex } from './segment-index.js'
import { withFile } from './with-file.js'

/** Room for the indexes of 4 million entries. */
const MAX_BYTES = 32 * 1024 * 1024

/** The indexes of slabs: of the open one always, of the others those that were asked for last; the rest stay on disk. */
export class SlabIndexes {
  readonly #directory: LogDirectory
  readonly #onDamaged: (slab: Slab) => void
  readonly #maxBytes: number
  readonly #growing = new Map<Slab, SlabIndex>()
  /** Least recently used first. */
  readonly #kept = new Map<Slab, SlabIndex>()
  #keptBytes = 0

  /** @param onDamaged an entry is lost that was not known to be */
  constructor(directory: LogDirectory, onDamaged: (slab: Slab) => void, maxBytes = MAX_BYTES) {
    this.#directory = directory
    this.#onDamaged = onDamaged
    this.#maxBytes = maxBytes
  }

  /** @throws when the slab cannot be read */
  of(slab: Slab): SlabIndex {
    const index = this.#growing.get(slab) ?? this.#kept.get(slab) ?? this.#load(slab)
    if (!this.#growing.has(slab)) this.keep(slab, index)
    return index
  }

  /** A new slab: its index stays here until the slab is closed. */
  grow(slab: Slab, index: SlabIndex): void {
    this.#growing.set(slab, index)
  }

  closed(slab: Slab): void {
    const index = this.#growing.get(slab)
    if (!index) return
    this.#growing.delete(slab)
    this.keep(slab, index)
  }

  /** As the most recently used one. */
  keep(slab: Slab, index: SlabIndex): void {
    this.#drop(slab)
    this.#kept.set(slab, index)
    this.#keptBytes += index.memoryBytes
    for (const oldest of this.#kept.keys()) {
      if (this.#keptBytes <= this.#maxBytes || oldest === slab) return
      this.#drop(oldest)
    }
  }

  /** The slab will be removed. */
  forget(slab: Slab): void {
    this.#growing.delete(slab)
    this.#drop(slab)
  }

  #drop(slab: Slab): void {
    const index = this.#kept.get(slab)
    if (!index) return
    this.#kept.delete(slab)
    this.#keptBytes -= index.memoryBytes
  }

  /** What the seal says; what a scan says of a slab whose seal is missing or damaged. */
  #load(slab: Slab): SlabIndex {
    return withFile(this.#directory, slab.name, file => readSealedIndex(file, slab) ?? this.#rebuild(file, slab))
  }

  #rebuild(file: LogFile, slab: Slab): SlabIndex {
    const index = slab.sequences === undefined ? scanSlab(file, slab).index : rebuildMerged(file, slab)
    while (index.count < slab.entryCount) index.addLost()
    for (let at = 0; at < index.count; at++) {
      if (index.isLost(at) && slab.damaged(slab.sequenceAt(at))) this.#onDamaged(slab)
    }
    return index
  }
}
