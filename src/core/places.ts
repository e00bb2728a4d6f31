import { ClientTurns } from './client-turns.js'
import { onAbort } from './ending.js'
import { HeldAmount } from './held-amount.js'

/** Gives a place back; from its second call on it does nothing. */
export type Release = () => void

/** A caller that waits for a place, and the limits of its wait. */
interface PlaceWait<Client> {
  /** The client whose turn the wait takes. Absent: the caller waits in one line with all others that name no client. */
  readonly client?: Client | undefined
  readonly signal?: AbortSignal | undefined
  /** Absent: no limit. */
  readonly waitMs?: number
}

/**
 * A limited number of places. Callers wait for a free one: clients take turns, and the callers of one client keep their order.
 */
export class Places<Client = string> {
  readonly #max: () => number
  readonly #taken: HeldAmount
  readonly #waiting = new ClientTurns<(release: Release) => void, Client | undefined>()

  /** @param max may change, see {@link wake} @param name what they are, in the plural */
  constructor(max: () => number, name: string) {
    this.#max = max
    this.#taken = new HeldAmount(name)
  }

  get taken(): number {
    return this.#taken.value
  }
  get waiting(): number {
    return this.#waiting.size
  }
  waitingOf(client: Client): number {
    return this.#waiting.sizeOf(client)
  }

  /** A place at once, if there is one. */
  tryTake(): Release | undefined {
    return this.#taken.value < this.#max() ? this.#taken.take(1, () => this.wake()) : undefined
  }

  /**
   * Calls back with a place: before it returns, if there is one.
   *
   * @returns ends the wait; does nothing after it
   */
  enter(client: Client | undefined, begin: (release: Release) => void): () => void {
    const release = this.tryTake()
    if (release === undefined) this.#waiting.add(client, begin)
    else begin(release)
    return () => this.#waiting.delete(client, begin)
  }

  /**
   * Takes a place as soon as there is one. Rejects with the reason of the signal.
   *
   * @returns `undefined`: there was none in time
   */
  take(wait: PlaceWait<Client> & { readonly waitMs: number }): Promise<Release | undefined>
  take(wait: PlaceWait<Client>): Promise<Release>
  take({ client, signal, waitMs }: PlaceWait<Client>): Promise<Release | undefined> {
    const release = this.tryTake()
    if (release !== undefined) return Promise.resolve(release)
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      const end = (release?: Release): void => {
        clearTimeout(timer)
        unlisten()
        leave()
        resolve(release)
      }
      const leave = this.enter(client, end)
      const timer = waitMs === undefined ? undefined : setTimeout(end, waitMs)
      const unlisten = onAbort(signal, () => {
        reject(signal!.reason)
        end()
      })
    })
  }

  /** Lets those in who wait, as far as there are places: after each release, and to be called when there may be more. */
  wake(): void {
    while (this.#waiting.size > 0) {
      const release = this.tryTake()
      if (release === undefined) return
      this.#waiting.next()!(release)
    }
  }
}
