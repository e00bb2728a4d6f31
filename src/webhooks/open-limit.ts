import type { HeldRecords, RecordBudget } from '../core/record-budget.js'
import { Shares } from '../core/shares.js'

/** Memory of an open record that is not in memory, measured: 452 bytes here and in a lane of its own, and 142 in the group. */
const PLACE_BYTES = 600
const SHARE_OF_RECORDS = 1 / 8
/** Shortest interval of the calls that tell waiters of free memory. */
const TELL_EVERY_MS = 100

/**
 * Limits the open records of all webhooks of a process. Their bytes count in the budget of records. A partition opens
 * no further record when the open records of its webhook and, once more, its own would be more than the places that are
 * free, so that other webhooks find free places, whatever an endpoint does. One record of each partition may always be
 * open.
 */
export class OpenLimit {
  readonly #held: HeldRecords
  readonly #shares: Shares
  readonly #waiting = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined

  constructor(records: RecordBudget) {
    this.#held = records.hold(0)
    this.#shares = new Shares(Math.floor((records.maxBytes * SHARE_OF_RECORDS) / PLACE_BYTES), 'open records')
  }

  /** @param ofPartition number of the open records of the partition */
  mayOpen(webhook: string, ofPartition: number): boolean {
    return ofPartition === 0 || this.#shares.allows(webhook, ofPartition + 1)
  }

  add(webhook: string): void {
    this.#change(webhook, 1)
  }

  release(webhook: string): void {
    this.#change(webhook, -1)
    if (this.#waiting.size > 0) this.#timer ??= setTimeout(this.#tellAll, TELL_EVERY_MS)
  }

  #change(webhook: string, by: number): void {
    this.#shares.change(webhook, by)
    this.#held.add(by * PLACE_BYTES)
  }

  /** @param tell called once, in a later tick, when {@link mayOpen} may have become true */
  wait(tell: () => void): void {
    this.#waiting.add(tell)
  }

  leave(tell: () => void): void {
    this.#waiting.delete(tell)
    if (this.#waiting.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  readonly #tellAll = (): void => {
    this.#timer = undefined
    const told = [...this.#waiting]
    this.#waiting.clear()
    for (const tell of told) tell()
  }
}
