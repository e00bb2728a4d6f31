import type { HeldRecords } from '../../core/record-budget.js'

/** The memory of the records that a call has read, of which a part was taken from the budget before it reads. */
export class ReadMemory {
  readonly #held: Pick<HeldRecords, 'add'>
  /** The bytes that are held for it. */
  #heldBytes: number
  #bytes = 0

  /** @param takenBytes held already */
  constructor(held: Pick<HeldRecords, 'add'>, takenBytes: number) {
    this.#held = held
    this.#heldBytes = takenBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Records are kept, or dropped (negative). A record may be larger than what was taken. */
  add(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#heldBytes) this.#hold(this.#bytes)
  }

  /** The records are needed no longer. */
  release(): void {
    this.#bytes = 0
    this.#hold(0)
  }

  #hold(bytes: number): void {
    this.#held.add(bytes - this.#heldBytes)
    this.#heldBytes = bytes
  }
}
