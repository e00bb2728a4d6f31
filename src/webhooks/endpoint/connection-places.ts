import { onAbort } from '../../core/ending.js'
import type { Release } from '../../core/places.js'

/** A connection that waits for its next request. */
export interface IdleConnection {
  retire(): void
}

/** The places of one endpoint. */
interface Use {
  taken: number
  /** False: it is closed, and gives its places back. */
  isOpen: boolean
}

/**
 * The connections of all endpoints of a process, each with a place while it is opened or has a request. One place is kept for
 * each endpoint, so that none waits for the others to send anything at all; of the rest each may have as many as stay free.
 * Connections without a request have no place: the one that has been idle for longest ends when another needs its room.
 */
export class ConnectionPlaces<User extends object = object> {
  readonly #max: number
  readonly #users = new Map<User, Use>()
  /** What to call of endpoints that wait for a place, in order. */
  readonly #waiting = new Map<() => void, User>()
  /** The connection that has been idle for longest first. */
  readonly #idle = new Set<IdleConnection>()
  #taken = 0
  /** Number of endpoints that have no place. */
  #without = 0
  #isWaking = false

  constructor(max: number) {
    this.#max = max
  }

  get taken(): number {
    return this.#taken
  }

  join(user: User): void {
    this.#users.set(user, { taken: 0, isOpen: true })
    this.#without++
  }

  /** Ends the waits of the endpoint. The places that it has are free when they are given back. */
  leave(user: User): void {
    const use = this.#users.get(user)
    if (use === undefined) return
    use.isOpen = false
    if (use.taken === 0) this.#forget(user)
    for (const [wake, waiter] of this.#waiting) if (waiter === user) this.#waiting.delete(wake)
    this.#wakeSoon()
  }

  /** A place at once, if there is one for this endpoint. */
  tryTake(user: User): Release | undefined {
    if (!this.#mayTake(user)) return undefined
    const use = this.#users.get(user)!
    if (use.taken === 0) this.#without--
    use.taken++
    this.#taken++
    let isFree = false
    return () => {
      if (isFree) return
      isFree = true
      this.#release(user, use)
    }
  }

  /**
   * Waits until there may be a place for the endpoint.
   *
   * @param wake called once, in a later tick; it takes the place by itself. The same function waits once
   * @returns ends the wait
   */
  wait(user: User, wake: () => void): () => void {
    this.#waiting.set(wake, user)
    return () => this.#waiting.delete(wake)
  }

  /** A place as soon as there is one. Rejects with the reason of the signal. */
  take(user: User, signal: AbortSignal): Promise<Release> {
    const taken = this.tryTake(user)
    if (taken !== undefined) return Promise.resolve(taken)
    if (signal.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      // It takes the place at once: others that are woken with it take as many as there are.
      const wake = (): void => {
        const release = this.tryTake(user)
        if (release === undefined) {
          this.wait(user, wake)
          return
        }
        unlisten()
        resolve(release)
      }
      const leave = this.wait(user, wake)
      const unlisten = onAbort(signal, () => {
        leave()
        reject(signal.reason)
      })
    })
  }

  /** A connection waits for its next request. */
  idle(connection: IdleConnection): void {
    this.#idle.add(connection)
  }

  /** A connection has a request again, or has ended. */
  notIdle(connection: IdleConnection): void {
    this.#idle.delete(connection)
  }

  /** Ends idle connections, as many as are too many beside those that have a place. To be called before another is opened. */
  makeRoom(): void {
    for (const connection of this.#idle) {
      if (this.#taken + this.#idle.size <= this.#max) return
      this.#idle.delete(connection)
      connection.retire()
    }
  }

  #mayTake(user: User): boolean {
    const use = this.#users.get(user)
    if (use === undefined || !use.isOpen) return false
    if (use.taken === 0) return this.#taken < this.#max
    return Math.max(1, use.taken) <= this.#max - this.#taken - this.#without
  }

  #release(user: User, use: Use): void {
    use.taken--
    this.#taken--
    if (use.taken === 0) this.#without++
    if (use.taken === 0 && !use.isOpen) this.#forget(user)
    this.#wakeSoon()
  }

  #forget(user: User): void {
    this.#users.delete(user)
    this.#without--
  }

  #wakeSoon(): void {
    if (this.#isWaking || this.#waiting.size === 0) return
    this.#isWaking = true
    setImmediate(() => {
      this.#isWaking = false
      for (const [wake, user] of [...this.#waiting]) {
        if (!this.#mayTake(user) || !this.#waiting.delete(wake)) continue
        wake()
      }
    })
  }
}
