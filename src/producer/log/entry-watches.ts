import type { SequenceRange } from './segment.js'

/** Wakes those who wait until entries of the log are completed. */
export class EntryWatches {
  readonly #bySequence = new Map<number, Set<EntryWatch>>()

  /** Entries that are waited for. */
  get count(): number {
    return this.#bySequence.size
  }

  /** @param onSettled called when none of the entries is waited for any more */
  add({ first, count }: SequenceRange, onSettled: () => void): EntryWatch {
    const watch = new EntryWatch(this.#bySequence, onSettled)
    for (let sequence = first; sequence < first + count; sequence++) watch.add(sequence)
    return watch
  }

  settled(sequence: number): void {
    const watches = this.#bySequence.get(sequence)
    if (watches !== undefined) for (const watch of [...watches]) watch.settled(sequence)
  }
}

/** A wait for some entries. */
export class EntryWatch {
  readonly #all: Map<number, Set<EntryWatch>>
  readonly #sequences = new Set<number>()
  readonly #onSettled: () => void

  constructor(all: Map<number, Set<EntryWatch>>, onSettled: () => void) {
    this.#all = all
    this.#onSettled = onSettled
  }

  add(sequence: number): void {
    this.#sequences.add(sequence)
    const watches = this.#all.get(sequence)
    if (watches === undefined) this.#all.set(sequence, new Set([this]))
    else watches.add(this)
  }

  settled(sequence: number): void {
    this.#remove(sequence)
    if (this.#sequences.size === 0) this.#onSettled()
  }

  /** Only these entries were open when the wait began. */
  keepOnly(open: readonly SequenceRange[]): void {
    const isOpen = (sequence: number): boolean =>
      open.some(({ first, count }) => sequence >= first && sequence < first + count)
    for (const sequence of [...this.#sequences]) if (!isOpen(sequence)) this.#remove(sequence)
    if (this.#sequences.size === 0) this.#onSettled()
  }

  end(): void {
    for (const sequence of [...this.#sequences]) this.#remove(sequence)
  }

  #remove(sequence: number): void {
    this.#sequences.delete(sequence)
    const watches = this.#all.get(sequence)
    watches?.delete(this)
    if (watches?.size === 0) this.#all.delete(sequence)
  }
}
