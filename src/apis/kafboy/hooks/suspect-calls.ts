/** A topic is suspect for so long after a thread was lost with one of its calls. */
export const SUSPECT_FOR_MS = 60_000
/** After the loss of a thread none of these calls is made for so long: the next thread serves others first. */
const LONGEST_PAUSE_MS = 1_000
/** The pause is no more than this share of the time that a call has. */
const SHARE_OF_TIMEOUT = 1 / 10
/** Clients choose the names; the topic that is suspect for longest is forgotten first. */
const MAX_TOPICS = 1_000

/**
 * Calls of topics with which a thread was lost lately: it was stuck in such a call, or ended by it. They wait here, and are made
 * one at a time while no other call waits, so that a client that makes a hook loop again and again holds up others for one
 * deadline at most.
 */
export class SuspectCalls<Call extends { readonly topic: string | undefined; deadlineAt: number }> {
  readonly #pauseMs: number
  readonly #topics = new Map<string, number>()
  #waiting: Call[] = []
  #lostAt = Number.NEGATIVE_INFINITY

  constructor(timeoutMs: number) {
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, timeoutMs * SHARE_OF_TIMEOUT)
  }

  get length(): number {
    return this.#waiting.length
  }

  /** A thread was lost lately: each call should travel alone, so that the decisions of others are not lost with the next one. */
  isAnyAt(nowMs: number): boolean {
    return nowMs - this.#lostAt < SUSPECT_FOR_MS
  }

  /** @param topic of the call in which the thread was; `undefined`: it was in none */
  threadLost(topic: string | undefined, nowMs: number): void {
    this.#lostAt = nowMs
    if (topic === undefined) return
    this.#topics.delete(topic)
    this.#topics.set(topic, nowMs + SUSPECT_FOR_MS)
    if (this.#topics.size > MAX_TOPICS) this.#topics.delete(this.#topics.keys().next().value!)
  }

  /** True when the call waits here from now on, until its `deadlineAt` at most. */
  take(call: Call, nowMs: number): boolean {
    if (call.topic === undefined || !((this.#topics.get(call.topic) ?? 0) > nowMs)) return false
    this.#waiting.push(call)
    return true
  }

  /** The next one to be made. To be called when no other call waits. */
  release(nowMs: number): Call | undefined {
    return nowMs - this.#lostAt < this.#pauseMs ? undefined : this.#waiting.shift()
  }

  /** Takes those out whose time is over. */
  takeExpired(nowMs: number): readonly Call[] {
    const expired = this.#waiting.filter(({ deadlineAt }) => deadlineAt <= nowMs)
    if (expired.length > 0) this.#waiting = this.#waiting.filter(({ deadlineAt }) => deadlineAt > nowMs)
    return expired
  }
}
