import { ParkedBytes } from '../consumer/group/parking-limits.js'
import type { RecordBudget } from '../core/record-budget.js'
import { OpenLimit } from './open-limit.js'

const MOST_RECORDS = 4_096

/**
 * The records that webhooks of a process have in memory: 64 MiB at most, which they share fairly, and 4,096 of all webhooks
 * together. Records that are sent may have all of it, and those that wait half, so that the waiting ones do not keep others from
 * being sent.
 */
export class WebhookMemory {
  readonly #bytes: ParkedBytes
  /** Limit of all open records, whether they are in memory or not. */
  readonly open: OpenLimit
  #count = 0

  constructor(records: RecordBudget) {
    this.#bytes = new ParkedBytes(records)
    this.open = new OpenLimit(records)
  }

  get bytes(): number {
    return this.#bytes.value
  }

  /** Whether a record that is not being sent may be kept. */
  mayKeep(webhook: string, bytes: number): boolean {
    const { value, maxBytes } = this.#bytes
    return this.#count < MOST_RECORDS / 2 && value + bytes <= maxBytes / 2 && this.#bytes.fits(webhook, bytes)
  }

  /**
   * Whether a record may be read in order to be sent. False at 4,096 records, and while there are no bytes for the webhook. A
   * webhook without a request in flight sends one without asking.
   */
  maySend(webhook: string): boolean {
    return this.#count < MOST_RECORDS && this.#bytes.fits(webhook, 1)
  }

  take(webhook: string, bytes: number): void {
    this.#count++
    this.#bytes.add(webhook, bytes)
  }

  release(webhook: string, bytes: number): void {
    this.#count--
    this.#bytes.release(webhook, bytes)
  }

  /** @param tell called once, in a later tick, when {@link maySend} may have become true */
  wait(webhook: string, tell: () => void): void {
    this.#bytes.wait(webhook, 1, tell)
  }

  leave(tell: () => void): void {
    this.#bytes.leave(tell)
  }
}
