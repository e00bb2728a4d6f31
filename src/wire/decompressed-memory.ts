import type { RecordIndex } from './record-index.js'

/** The records of a batch, decompressed, and where each of them begins. */
export interface OpenRecords extends RecordIndex {
  readonly records: Buffer
}

/** Keeps decompressed records until it is told that their memory is needed. */
export interface DecompressedHolder {
  /** Lets go of what it holds; it can decompress it again. */
  release(): void
}

/** A holder's place. It outlives the holder, whom it does not keep alive. */
export interface HeldPlace {
  readonly holder: WeakRef<DecompressedHolder>
  readonly bytes: number
}

export const heldBytesOf = ({ records, positions, offsetDeltas }: OpenRecords): number =>
  records.length + positions.byteLength + (offsetDeltas?.byteLength ?? 0)

/**
 * Bounds the memory of all records that were decompressed, whoever reads them: the least recently read batch lets go of
 * its records first and decompresses them again when it is read again. So nothing waits for room or is refused for want
 * of it. What a batch takes comes back when it is released here, or when nobody holds the batch any more: it has been
 * read, left the cache, or was dropped.
 *
 * Invariants: `heldBytes` is the sum over all places; it is at most `maxBytes`.
 */
export class DecompressedMemory {
  readonly maxBytes: number
  readonly #onChange: (heldBytes: number) => void
  /** Least recently read first. */
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

  /** Takes `bytes` for what `holder` has decompressed; others let go where there is no room. At most `maxBytes`. */
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

  /** It is being read: others let go before it. */
  touch(place: HeldPlace): void {
    if (this.#places.delete(place)) this.#places.add(place)
  }

  #give(place: HeldPlace): void {
    if (!this.#places.delete(place)) return
    // A batch may be opened a million times: each place is watched only as long as it is taken.
    this.#collected.unregister(place)
    this.#heldBytes -= place.bytes
    this.#onChange(this.#heldBytes)
  }
}
