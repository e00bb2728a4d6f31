/** Groups that are remembered as slow; the one that has been so for longest is forgotten first. */
const MAX_SLOW_GROUPS = 1_000

interface Call {
  readonly timer: NodeJS.Timeout
  readonly isFirst: boolean
  isSlow: boolean
}

/**
 * Which group may use which of the connections for group calls to one broker, so that a group whose coordinator keeps it
 * waiting holds up nobody else.
 *
 *   first connection    everybody whose last call was quick, one call after the other
 *   spare connections   groups that were slow last time; everybody while the first connection is held by a slow call
 *
 * A call is slow once it has taken `slowCallMs`. A group has one call at a time, so a slow one keeps one connection. How
 * many spare connections there are is for the caller to say; when all of them are held, slow groups wait for each other,
 * and a group that was quick so far waits for the first connection.
 */
export class GroupTurns {
  readonly #slowCallMs: number
  readonly #onChange: () => void
  readonly #calls = new Map<string, Call>()
  readonly #slow = new Set<string>()
  #isFirstHeld = false

  /** @param onChange told when groups may go that could not before, though no call has ended */
  constructor(slowCallMs: number, onChange: () => void) {
    this.#slowCallMs = slowCallMs
    this.#onChange = onChange
  }

  /** @param isFirst of the connection that is free */
  mayGo(groupId: string, isFirst: boolean): boolean {
    if (this.#calls.has(groupId)) return false
    return isFirst ? !this.#slow.has(groupId) : this.#isFirstHeld || this.#slow.has(groupId)
  }

  /** All groups that may go, where those are few; `undefined`: look at each. */
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
