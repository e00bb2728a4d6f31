/** About what one of these costs beside the bytes that clients chose. */
export const GROUP_BYTES = 1000
export const MEMBER_BYTES = 500
export const PROMISED_ID_BYTES = 300
export const OFFSET_BYTES = 300

/** What all groups together hold: members, what they told about themselves, assignments, committed offsets. */
export class GroupBytes {
  readonly #limitBytes: number
  #heldBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  hasRoom(bytes: number): boolean {
    return this.#heldBytes + bytes <= this.#limitBytes
  }

  /** Negative: given back. */
  add(bytes: number): void {
    this.#heldBytes += bytes
  }
}
