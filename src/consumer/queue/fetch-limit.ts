import { MIB } from '../../core/bytes.js'
import type { MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { Alarm, type Deadlines } from '../../router/requests/deadlines.js'
import type { HeldCounts } from './held-counts.js'

/** Assumed size of a record before one was seen. */
const UNKNOWN_BYTES = MIB
/** The largest record counts for this time, up to twice as long. */
const LATELY_MS = 60_000
/** A queue that may fetch nothing asks again after this time. */
const AGAIN_MS = 250
/** Duration of a turn, whether a message is fetched in it or not. Then another queue may take it. */
const TURN_MS = 1_000

/** The turn to fetch one message without free memory: some queue has to find out whether there are any. */
export class FetchTurn {
  #owner: object | undefined
  #until = 0

  /** @returns whether the queue may fetch one message */
  take(queue: object, now: number): boolean {
    if (this.#owner !== undefined && this.#owner !== queue && now < this.#until) return false
    if (this.#owner !== queue || now >= this.#until) this.#until = now + TURN_MS
    this.#owner = queue
    return true
  }

  leave(queue: object): void {
    if (this.#owner === queue) this.#owner = undefined
  }
}

export interface FetchLimitDeps {
  readonly now: MonotonicClock
  readonly deadlines: Deadlines
  readonly records: RecordBudget
  readonly counts: HeldCounts
  readonly fetchTurn: FetchTurn
}

/** Limits the messages that one queue fetches, so that those of all queues fit into memory. Kafka counts messages, not bytes. */
export class FetchLimit {
  readonly #deps: FetchLimitDeps
  readonly #onAgain: () => void
  #again: Alarm | undefined
  /** Begin of the present period, its largest record, and that of the period before. */
  #since: number
  #largest = 0
  #former = 0
  /** When a fetch was last allowed, and when one was last refused for lack of memory. */
  #fetchedAt = Number.NEGATIVE_INFINITY
  #refusedAt = Number.NEGATIVE_INFINITY

  /** @param onAgain called when it may be asked again after it has found no free memory */
  constructor(deps: FetchLimitDeps, onAgain: () => void) {
    this.#deps = deps
    this.#onAgain = onAgain
    this.#since = deps.now()
  }

  /** A record was fetched. */
  note(bytes: number): void {
    this.#forgetOld()
    this.#largest = Math.max(this.#largest, bytes)
  }

  /**
   * @param wanted number of messages to fetch
   * @param spare number of messages that are fetched and that no client has
   * @returns how many it may fetch
   */
  limit(wanted: number, spare: number): number {
    const { now, records, counts, fetchTurn } = this.#deps
    if (wanted === 0) return 0
    const at = now()
    const free = Math.floor(records.freeBytes / this.#bytesOfOne / Math.max(1, counts.queuesThatWait))
    if (free > 0) fetchTurn.leave(this)
    if (free > 0 || (spare === 0 && fetchTurn.take(this, at))) {
      this.#fetchedAt = at
      return Math.max(1, Math.min(wanted, free))
    }
    if (spare === 0 && records.freeBytes < this.#bytesOfOne) this.#refusedAt = at
    this.#askAgain()
    return 0
  }

  /** True if, since then, a fetch was refused for lack of memory and none was made. */
  wasFullSince(since: number): boolean {
    return this.#refusedAt >= since && this.#fetchedAt < since
  }

  close(): void {
    this.#deps.fetchTurn.leave(this)
    if (this.#again !== undefined) this.#deps.deadlines.remove(this.#again)
  }

  get #bytesOfOne(): number {
    this.#forgetOld()
    return Math.max(this.#largest, this.#former) || UNKNOWN_BYTES
  }

  #forgetOld(): void {
    const now = this.#deps.now()
    const periods = (now - this.#since) / LATELY_MS
    if (periods < 1) return
    this.#since = now
    this.#former = periods < 2 ? this.#largest : 0
    this.#largest = 0
  }

  #askAgain(): void {
    const { now, deadlines } = this.#deps
    if (this.#again !== undefined) return
    this.#again = new Alarm(now() + AGAIN_MS, () => {
      this.#again = undefined
      this.#onAgain()
    })
    deadlines.add(this.#again)
  }
}
