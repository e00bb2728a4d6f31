import type { RecordIndex } from './record-index.js'

/** The records of a batch, decompressed, and where each of them begins. */
export interface OpenRecords extends RecordIndex {
  readonly records: Buffer
}

/** Keeps decompressed records until it is told that their memory is needed. */
export interface DecompressedHolder {
  /** Drops the records; the holder can decompress them again. */
  release(): void
}

/** The entry of a holder. It does not keep the holder alive, and may outlive it. */
export interface HeldPlace {
  readonly holder: WeakRef<DecompressedHolder>
  readonly bytes: number
}

export const heldBytesOf = ({ records, positions, offsetDeltas }: OpenRecords): number =>
  records.length + positions.byteLength + (offsetDeltas?.byteLength ?? 0)

/**
 * Limits the memory of the decompressed records of all readers. The batch that was read least recently drops its records
 * first, and decompresses them again when it is read again. So no read waits for memory or is refused for lack of it. The
 * memory of a batch is free again when it is released here, or when the batch itself has become garbage.
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

  /** Counts `bytes` for the records that `holder` has decompressed, at most `maxBytes`. Others drop theirs where necessary. */
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

  /** The holder is being read, so others drop their records before it. */
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
