/** Keeps decompressed records until their memory is needed. */
export interface DecompressedHolder {
  /** Drops the records; the holder can decompress them again. */
  release(): void
}

/** The entry of a holder. The entry does not keep the holder alive, and may outlive it. */
export interface HeldPlace {
  readonly holder: WeakRef<DecompressedHolder>
  readonly bytes: number
}

/**
 * Limits the memory of the decompressed records of all readers. The least recently read batch drops its records first, and
 * decompresses them again when it is read again. Therefore no read waits for memory or is refused for lack of it. The memory of a
 * batch is free when its records are dropped, or when the batch is garbage collected.
 *
 * Invariants: `heldBytes` is the sum over all places; it is at most `maxBytes`.
 */
export class DecompressedMemory {
  readonly maxBytes: number
  readonly #onChange: (heldBytes: number) => void
  /** The entries of all holders, least recently read first. */
  readonly #places = new Set<HeldPlace>()
  readonly #collected = new FinalizationRegistry<HeldPlace>(place => this.#give(place))
  #heldBytes = 0

  /** @throws RangeError when the bound is not a positive integer */
  constructor(maxBytes: number, onChange: (heldBytes: number) => void = () => {}) {
    if (!Number.isSafeInteger(maxBytes) || maxBytes <= 0) {
      throw new RangeError(`the bound must be a positive integer, not ${maxBytes}`)
    }
    this.maxBytes = maxBytes
    this.#onChange = onChange
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /**
   * Counts `bytes` (at most `maxBytes`) for the decompressed records of `holder`. Other holders drop their records if
   * necessary.
   */
  hold(holder: DecompressedHolder, bytes: number): HeldPlace {
    for (const place of this.#places) {
      if (this.#heldBytes + bytes <= this.maxBytes) break
      place.holder.deref()?.release()
      this.#give(place)
    }
    const place = { holder: new WeakRef(holder), bytes }
    this.#places.add(place)
    this.#collected.register(holder, place, place)
    this.#heldBytes += bytes
    this.#onChange(this.#heldBytes)
    return place
  }

  /** Marks the holder as most recently read, so that other holders drop their records before it. */
  touch(place: HeldPlace): void {
    if (this.#places.delete(place)) this.#places.add(place)
  }

  #give(place: HeldPlace): void {
    if (!this.#places.delete(place)) return
    // A batch may be opened many times, so each place is unregistered when it is released.
    this.#collected.unregister(place)
    this.#heldBytes -= place.bytes
    this.#onChange(this.#heldBytes)
  }
}
