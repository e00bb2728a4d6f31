/** A run of sequences: `first`, `first + 1`, … */
export interface SequenceRange {
  readonly first: number
  readonly count: number
}

/** Which entries of one segment are completed: one bit each, allocated with the first of them. */
export class DoneSet {
  #count = 0
  #bits = new Uint8Array(0)

  get count(): number {
    return this.#count
  }

  has(index: number): boolean {
    return ((this.#bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0
  }

  /** Returns false when it was there already. */
  add(index: number): boolean {
    if (this.has(index)) return false
    const byte = index >> 3
    if (byte >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(byte + 1, this.#bits.length * 2, 64))
      larger.set(this.#bits)
      this.#bits = larger
    }
    this.#bits[byte]! |= 1 << (index & 7)
    this.#count++
    return true
  }

  /** The runs of what is in the set, rising. */
  *runs(): Generator<{ readonly first: number; readonly count: number }> {
    const end = this.#bits.length * 8
    for (let index = 0; index < end; index++) {
      if (!this.has(index)) continue
      const first = index
      while (this.has(index)) index++
      yield { first, count: index - first }
    }
  }
}
