/** Most groups that are remembered as slow; the oldest is forgotten first. */
const MAX_SLOW_GROUPS = 1_000

interface Call {
  readonly timer: NodeJS.Timeout
  readonly isFirst: boolean
  isSlow: boolean
}

/**
 * Decides which group may use which of the connections for group calls to one broker, so that a group whose calls are slow
 * does not hold up other groups.
 *
 *   first connection    groups whose last call was quick, one call after another
 *   spare connections   groups whose last call was slow; all groups while a slow call holds the first connection
 *
 * A call is slow once it has taken `slowCallMs`. A group has one call at a time, so a slow group holds one connection. The
 * caller decides how many spare connections there are. When all of them are held, slow groups wait for each other, and
 * other groups wait for the first connection.
 */
export class GroupTurns {
  readonly #slowCallMs: number
  readonly #onChange: () => void
  readonly #calls = new Map<string, Call>()
  readonly #slow = new Set<string>()
  #isFirstHeld = false

  /** @param onChange called when other groups may go although no call has ended */
  constructor(slowCallMs: number, onChange: () => void) {
    this.#slowCallMs = slowCallMs
    this.#onChange = onChange
  }

  /** @param isFirst whether the free connection is the first one */
  mayGo(groupId: string, isFirst: boolean): boolean {
    if (this.#calls.has(groupId)) return false
    return isFirst ? !this.#slow.has(groupId) : this.#isFirstHeld || this.#slow.has(groupId)
  }

  /** All groups that may go, where those are few; `undefined`: each group has to be checked. */
  few(isFirst: boolean): ReadonlySet<string> | undefined {
    return isFirst || this.#isFirstHeld ? undefined : this.#slow
  }

  began(groupId: string, isFirst: boolean): void {
    const timer = setTimeout(() => this.#tookLong(groupId), this.#slowCallMs)
    this.#calls.set(groupId, { timer, isFirst, isSlow: false })
  }

  ended(groupId: string): void {
    const call = this.#calls.get(groupId)
    if (!call) return
    clearTimeout(call.timer)
    this.#calls.delete(groupId)
    if (call.isFirst) this.#isFirstHeld = false
    if (!call.isSlow) this.#slow.delete(groupId)
  }

  #tookLong(groupId: string): void {
    const call = this.#calls.get(groupId)!
    call.isSlow = true
    this.#remember(groupId)
    if (!call.isFirst) return
    this.#isFirstHeld = true
    this.#onChange()
  }

  #remember(groupId: string): void {
    this.#slow.delete(groupId)
    this.#slow.add(groupId)
    for (const oldest of this.#slow) {
      if (this.#slow.size <= MAX_SLOW_GROUPS) break
      this.#slow.delete(oldest)
    }
  }
}
