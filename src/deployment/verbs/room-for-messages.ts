import { memoryOfRecord } from '../../core/bytes.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { AcquireOptions, QueueMessage } from '../../verbs/verbs.js'

/** The room in memory that clients of this worker have for messages that its other workers give them. */
export class RoomForMessages {
  readonly #records: RecordBudget

  constructor(records: RecordBudget) {
    this.#records = records
  }

  /**
   * Waits until the client of an acquire has room for a message.
   *
   * @param left told how the wait can be ended
   * @returns what is to be asked for, in the rest of the time; `undefined`: there was no room in time, or the wait was ended
   */
  async asked(
    options: AcquireOptions,
    waitMs: number,
    left: (end: () => void) => void
  ): Promise<AcquireOptions | undefined> {
    const { client, maxBytes } = options
    const since = performance.now()
    if (!(await this.#hasRoom(client, waitMs, left))) return undefined
    const leftMs = Math.max(0, Math.ceil(waitMs - (performance.now() - since)))
    // One message is given in any case.
    return { ...options, waitMs: leftMs, maxBytes: Math.max(1, Math.min(maxBytes, this.#records.roomOf(client))) }
  }

  #hasRoom(client: string, waitMs: number, left: (end: () => void) => void): Promise<boolean> {
    if (this.#records.problemOf(client, 1) === undefined) return Promise.resolve(true)
    return new Promise(resolve => {
      const end = (hasRoom: boolean): void => {
        clearTimeout(timer)
        leave()
        resolve(hasRoom)
      }
      const timer = setTimeout(() => end(false), waitMs)
      const leave = this.#records.whenRoom(client, 1, () => end(true))
      left(() => end(false))
    })
  }

  /**
   * Takes messages that have come for a client. They are counted until the next tick: by then, who answers counts them.
   *
   * @returns how many of the first ones it has room for, and why not all; they may have come while other answers were not read
   */
  take(client: string, messages: readonly QueueMessage[]): { count: number; problem: 'full' | 'greedy' | undefined } {
    let bytes = 0
    let count = 0
    let problem: 'full' | 'greedy' | undefined
    for (const { record } of messages) {
      problem = this.#records.problemOf(client, bytes + memoryOfRecord(record))
      if (problem !== undefined) break
      bytes += memoryOfRecord(record)
      count++
    }
    const held = this.#records.hold(bytes, client)
    setImmediate(() => held.release())
    return { count, problem }
  }
}
