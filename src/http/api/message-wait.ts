import type { ServerResponse } from 'node:http'
import type { LinePlace } from '../../core/line.js'
import type { HeldRecords, RecordBudget } from '../../core/record-budget.js'
import { leavesOf } from '../exchange/leaving-records.js'

/**
 * A request that waits for messages. What its answer says is decided once: messages, none, or a problem. Messages that do not
 * reach the client with the answer are given back, and offered to the next client:
 *
 *   waits ── messages ──▶ decided ── sent ──▶ delivered
 *     │                      │
 *     └──── client left ─────┴──▶ given back
 */
export abstract class MessageWait {
  /** Place in the line of the open ones, until the answer has been sent or the client has gone. */
  place: LinePlace<unknown> | undefined
  protected readonly response: ServerResponse
  protected isDecided = false
  /** Ends the request for messages that is under way. */
  protected cancel: () => void = () => undefined
  /** Bytes of the messages, until they have left or are given back. */
  protected held: HeldRecords | undefined
  readonly #records: RecordBudget
  #hasLeft: (() => void) | undefined

  constructor(response: ServerResponse, records: RecordBudget) {
    this.response = response
    this.#records = records
    response.on('close', () => this.#closed())
  }

  /** The messages have reached the client. */
  protected abstract delivered(): void

  protected abstract releaseMessages(): void

  /** Waits no longer. @returns false: the answer was decided before */
  protected decide(): boolean {
    if (this.isDecided) return false
    this.cancel()
    this.isDecided = true
    return true
  }

  /** The answer leaves from now on. @param madeBytes bytes that the answer takes besides the messages */
  leaves(madeBytes: number): void {
    if (this.held === undefined) return
    this.held.add(madeBytes)
    this.#hasLeft = leavesOf(this.response, this.#records, this.held)
  }

  /** The answer has been sent, or the client has gone. */
  #closed(): void {
    const isSent = this.isDecided && this.response.writableFinished
    this.place?.leave()
    // The request for messages counts as open until the answer has left.
    if (!this.decide()) this.cancel()
    this.#hasLeft?.()
    this.held?.release()
    this.held = undefined
    if (isSent) this.delivered()
    else this.releaseMessages()
  }
}
