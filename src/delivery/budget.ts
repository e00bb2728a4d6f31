/** The memory for records that wait for Kafka, `delivery.maxBytes`. */
export interface BufferRoom {
  readonly maxBytes: number
  /** What is held now, bookkeeping included. */
  readonly usedBytes: number
  /** Calls back whenever some of it was given back, often. A later callback takes the place of the one before. */
  onFreed(freed: () => void): void
}

/** Of the buffer: what may be taken when a single request fills the lane it goes to. */
const SHARE_OF_A_REQUEST = 3 / 4

/** Counts the bytes and records that are held for Kafka, bookkeeping included, against their limit. */
export class Budget implements BufferRoom {
  readonly maxBytes: number
  readonly #onChange: () => void
  #bytes = 0
  #records = 0
  #onFreed: () => void = () => undefined

  /** @param onChange called whenever something came or went */
  constructor(maxBytes: number, onChange: () => void) {
    this.maxBytes = maxBytes
    this.#onChange = onChange
  }

  get usedBytes(): number {
    return this.#bytes
  }

  onFreed(freed: () => void): void {
    this.#onFreed = freed
  }

  get bytes(): number {
    return this.#bytes
  }

  get records(): number {
    return this.#records
  }

  /** Bytes and records came or, negative, went. */
  hold(bytes: number, records: number): void {
    this.#bytes += bytes
    this.#records += records
    this.#onChange()
    if (bytes < 0) this.#onFreed()
  }

  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= this.maxBytes
  }

  /** A single request may take so many bytes more than its lane's share: enough of the buffer is left to others. */
  hasSpare(bytes: number): boolean {
    return this.#bytes + bytes <= this.maxBytes * SHARE_OF_A_REQUEST
  }
}
