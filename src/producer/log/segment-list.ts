import type { LogDirectory } from './files.js'
import type { Slab } from './segment.js'
import type { SpareSlabs } from './spare-segments.js'
import { tryTo } from './try-to.js'

export interface SlabListOptions {
  readonly directory: LogDirectory
  readonly slabs: readonly Slab[]
  readonly spares: SpareSlabs
  /** Smaller files are not worth keeping as spare ones. */
  readonly minSpareBytes: number
  /** Nothing may use the slab any more. */
  readonly onRemoved: (slab: Slab) => void
  /** Keeps what only the newest slab tells: where sequences go on. False: it could not be kept. */
  readonly keepNext: () => boolean
  /** Makes what was noted survive a power cut. */
  readonly syncProgress: () => void
}

/** The slabs there are, by rising ids and sequences. Finished ones leave it: to be used again, removed, or set aside. */
export class SlabList {
  readonly all: Slab[]
  readonly #options: SlabListOptions
  readonly #reusable = new WeakSet<Slab>()
  #quarantinedCount = 0

  constructor(options: SlabListOptions) {
    this.#options = options
    this.all = [...options.slabs]
  }

  get sizeBytes(): number {
    return this.all.reduce((total, slab) => total + slab.endBytes, 0)
  }
  get openEntries(): number {
    return this.all.reduce((total, slab) => total + slab.openCount, 0)
  }
  get quarantinedCount(): number {
    return this.#quarantinedCount
  }
  get newest(): Slab | undefined {
    return this.all.at(-1)
  }

  /** @param slab one of this process: no other slab of a former life has its salt */
  add(slab: Slab): void {
    this.all.push(slab)
    this.#reusable.add(slab)
  }

  /** Their entries are in another slab now, which has taken the name of the first. The files of the others are still there. */
  replace(slabs: readonly Slab[], merged: Slab): void {
    for (const slab of slabs) this.#options.onRemoved(slab)
    this.all.splice(this.all.indexOf(slabs[0]!), slabs.length, merged)
  }

  removeFinished(): void {
    if (!this.all.some(slab => slab.isFinished)) return
    // Notes of batches tell what is missing in the log because Kafka has it. They must not be older than what is missing.
    this.#options.syncProgress()
    for (let index = 0; index < this.all.length; ) {
      const slab = this.all[index]!
      const isKept = !slab.isFinished || (slab === this.newest && !this.#options.keepNext())
      if (isKept || !tryTo(() => this.#remove(slab))) index++
      else this.all.splice(index, 1)
    }
  }

  #remove(slab: Slab): void {
    const { directory, onRemoved } = this.#options
    onRemoved(slab)
    if (slab.damagedCount > 0) this.#quarantine(slab)
    else if (!this.#isWorthKeeping(slab) || !this.#options.spares.keep(slab)) directory.remove(slab.name)
    // The file is gone in any case: a power cut may bring it back, and then it is found finished again.
    tryTo(() => directory.sync())
  }

  #isWorthKeeping(slab: Slab): boolean {
    return this.#reusable.has(slab) && slab.endBytes >= this.#options.minSpareBytes
  }

  #quarantine(slab: Slab): void {
    const quarantine = this.#options.directory.directory('quarantine')
    this.#options.directory.move(slab.name, quarantine)
    tryTo(() => quarantine.sync())
    this.#quarantinedCount++
  }
}
