/** Approximate size of an entry, without the names and data that clients send. */
export const GROUP_BYTES = 1000
export const MEMBER_BYTES = 500
export const PROMISED_ID_BYTES = 300
export const OFFSET_BYTES = 300

/** Counts the bytes of all groups together: members, their metadata and assignments, committed offsets. */
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

  /** Adds to the counted bytes. A negative number releases bytes. */
  add(bytes: number): void {
    this.#heldBytes += bytes
  }
}

/**
 * Member ids that clients have received but not yet used to join. A rebalance waits for these members for at most one
 * session time-out.
 */
export class PromisedIds {
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #bytes: GroupBytes

  constructor(bytes: GroupBytes) {
    this.#bytes = bytes
  }

  get isEmpty(): boolean {
    return this.#timers.size === 0
  }

  add(memberId: string, timeoutMs: number, forgotten: () => void): void {
    const forget = () => {
      this.take(memberId)
      forgotten()
    }
    this.#bytes.add(PROMISED_ID_BYTES)
    this.#timers.set(memberId, setTimeout(forget, timeoutMs))
  }

  /** Forgets the id. @returns true when a client had received the id */
  take(memberId: string): boolean {
    clearTimeout(this.#timers.get(memberId))
    if (!this.#timers.delete(memberId)) return false
    this.#bytes.add(-PROMISED_ID_BYTES)
    return true
  }

  close(): void {
    for (const memberId of [...this.#timers.keys()]) this.take(memberId)
  }
}
