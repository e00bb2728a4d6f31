/** Wakes those who wait until entries of the log are completed. */
export class EntryWatches {
  readonly #bySequence = new Map<number, Set<() => void>>()

  /** @returns a function that ends the watch */
  add(sequence: number, onCompleted: () => void): () => void {
    const watches = this.#bySequence.get(sequence) ?? new Set()
    this.#bySequence.set(sequence, watches.add(onCompleted))
    return () => {
      watches.delete(onCompleted)
      if (watches.size === 0) this.#bySequence.delete(sequence)
    }
  }

  completed(sequence: number): void {
    if (this.#bySequence.size === 0) return
    for (const onCompleted of this.#bySequence.get(sequence) ?? []) onCompleted()
  }
}
