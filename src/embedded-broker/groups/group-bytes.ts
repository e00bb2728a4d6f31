/** Approximate size of an entry, besides the bytes that clients chose. */
export const GROUP_BYTES = 1000
export const MEMBER_BYTES = 500
export const PROMISED_ID_BYTES = 300
export const OFFSET_BYTES = 300

/** Bytes of all groups together: members, their metadata and assignments, committed offsets. */
export class GroupBytes {
  readonly #limitBytes: number
  #heldBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  hasCapacity(bytes: number): boolean {
    return this.#heldBytes + bytes <= this.#limitBytes
  }

  /** Negative: released. */
  add(bytes: number): void {
    this.#heldBytes += bytes
  }
}
