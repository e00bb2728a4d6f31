/** Holds a batch that it can fetch again. */
export interface BatchHolder {
  /** Drops the batch. */
  dropBatch(): void
}

/** Limits the bytes of the batches that all groups hold: the least recently used one is dropped first. */
export class HeldBatches {
  readonly #maxBytes: number
  /** Least recently used first. */
  readonly #held = new Map<BatchHolder, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** A holder has a batch of this size now. */
  hold(holder: BatchHolder, bytes: number): void {
    this.release(holder)
    this.#held.set(holder, bytes)
    this.#bytes += bytes
    for (const [other] of this.#held) {
      if (this.#bytes <= this.#maxBytes || other === holder) break
      this.release(other)
      other.dropBatch()
    }
  }

  /** A holder has no batch any more. */
  release(holder: BatchHolder): void {
    this.#bytes -= this.#held.get(holder) ?? 0
    this.#held.delete(holder)
  }
}
