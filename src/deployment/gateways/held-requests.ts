import { ClientTurns } from '../../core/client-turns.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { MonotonicClock } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import type { HeldForOwner } from '../../http/api/key-owners.js'

/** Requests that are held, of all owners; one client has about half. */
const MAX_HELD = 1_000
/** Bytes of their bodies: a quarter of all that are in flight, so that others remain for other requests. */
const HELD_BYTES_SHARE = 1 / 4
const TRY_EVERY_MS = 500
/** Requests that leave at a time: fewer than the calls that may be in progress at one gateway. */
const LEAVE_AT_ONCE = 256

type Leave = (isItsTurn: boolean) => void

/** @param isAtOnce whether the one before it, with the same key, was not refused: its owner need not be spared */
type TakeTurns = (isAtOnce: boolean) => void

/** The requests that are held for one owner. */
interface LineOfOwner {
  readonly turns: ClientTurns<Leave>
  /** When some of them have left, by the clock. */
  leftAt: number
  timer: NodeJS.Timeout | undefined
}

/**
 * Requests with keys that their owners have certainly not carried out. Clients take turns while the owner can be
 * reached; a request that the owner refuses may come again. A request that is not tried in time leaves without a turn.
 * Requests with one key are tried one at a time, in the order in which they came: the next one when the one before has
 * ended without a refusal by its owner.
 */
export class HeldRequests {
  readonly #canBeTried: (owner: string) => boolean
  readonly #now: MonotonicClock
  readonly #metrics: MetricsLogger
  readonly #places = new Shares(MAX_HELD, 'held requests')
  readonly #bytes: Shares
  readonly #lines = new Map<string, LineOfOwner>()
  /** Held requests of all owners. */
  readonly #held = new Set<Leave>()
  /** Requests that have not ended, by the hash of their key, each with a function to call when it is the first of its key. */
  readonly #ofKeys = new Map<string, Map<HeldForOwner, TakeTurns>>()
  /** Requests that got their turn, and have neither come again nor ended. */
  readonly #tried = new Set<HeldForOwner>()
  #isClosed = false

  /**
   * @param canBeTried whether an owner shares keys, as far as is known
   * @param bodiesMaxBytes of all requests in flight
   */
  constructor(
    canBeTried: (owner: string) => boolean,
    now: MonotonicClock,
    bodiesMaxBytes: number,
    metrics: MetricsLogger
  ) {
    this.#bytes = new Shares(Math.floor(bodiesMaxBytes * HELD_BYTES_SHARE), 'bytes of held requests')
    this.#canBeTried = canBeTried
    this.#now = now
    this.#metrics = metrics
    this.#tellHeld()
  }

  /** Whether requests are held for an owner. */
  isHolding(owner: string): boolean {
    return this.#lines.has(owner)
  }

  hasEarlier(hash: string): boolean {
    return this.#ofKeys.has(hash)
  }

  /** @returns whether it is the turn of the request; `false`: its time is over, its client has left, or there is no place */
  wait(owner: string, request: HeldForOwner, limitMs: number): Promise<boolean> {
    const { client, bytes, left } = request
    this.#tried.delete(request)
    const isFull = [this.#places.problemOf(client), this.#bytes.problemOf(client, bytes)].some(Boolean)
    if (this.#isClosed || isFull || limitMs <= 0) return Promise.resolve(false)
    const release = [this.#places.take(client), this.#bytes.take(client, bytes)]
    const name = client ?? ''
    return new Promise(resolve => {
      const leave: Leave = isItsTurn => {
        clearTimeout(timer)
        this.#held.delete(leave)
        this.#tellHeld()
        for (const one of release) one()
        const line = this.#lines.get(owner)
        line?.turns.delete(name, leave)
        if (line?.turns.size === 0) this.#end(owner, line)
        if (isItsTurn) this.#tried.add(request)
        resolve(isItsTurn)
      }
      const timer = setTimeout(leave, limitMs, false)
      this.#held.add(leave)
      this.#tellHeld()
      void left.then(() => this.#held.has(leave) && leave(false))
      this.#enter(request, isAtOnce => {
        if (!this.#held.has(leave)) return
        if (isAtOnce && this.#canBeTried(owner)) {
          leave(true)
          return
        }
        const line = this.#lines.get(owner) ?? { turns: new ClientTurns(), leftAt: this.#now(), timer: undefined }
        this.#lines.set(owner, line)
        line.turns.add(name, leave)
        this.#leave(owner, line)
      })
    })
  }

  /** Enters a request. One that comes again keeps its place among those with its key. */
  #enter(request: HeldForOwner, takeTurns: TakeTurns): void {
    const ofKey = this.#ofKeys.get(request.hash) ?? new Map<HeldForOwner, TakeTurns>()
    this.#ofKeys.set(request.hash, ofKey.set(request, takeTurns))
    const [first] = ofKey.keys()
    if (first === request) takeTurns(false)
  }

  /** Ends a request: it is not tried again, and the next one with its key may be. */
  ended(request: HeldForOwner): void {
    const wasTried = this.#tried.delete(request)
    const ofKey = this.#ofKeys.get(request.hash)
    const [first] = ofKey?.keys() ?? []
    if (ofKey?.delete(request) !== true) return
    if (ofKey.size === 0) this.#ofKeys.delete(request.hash)
    const [takeTurns] = ofKey.values()
    if (first === request) takeTurns?.(wasTried)
  }

  /** Called when an owner may be reachable again. */
  changed(): void {
    for (const [owner, line] of this.#lines) this.#leave(owner, line)
  }

  /** Holds no requests from now on. */
  close(): void {
    this.#isClosed = true
    for (const leave of [...this.#held]) leave(false)
  }

  #tellHeld(): void {
    this.#metrics.gauge?.('peers', 'held_requests', {}, this.#held.size)
  }

  #leave(owner: string, line: LineOfOwner): void {
    if (line.timer !== undefined || !this.#canBeTried(owner)) return
    const pauseMs = line.leftAt + TRY_EVERY_MS - this.#now()
    if (pauseMs > 0) {
      this.#leaveAfter(pauseMs, owner, line)
      return
    }
    line.leftAt = this.#now()
    for (let nth = 0; nth < LEAVE_AT_ONCE && line.turns.size > 0; nth++) line.turns.next()!(true)
    if (line.turns.size > 0) this.#leaveAfter(TRY_EVERY_MS, owner, line)
  }

  #leaveAfter(pauseMs: number, owner: string, line: LineOfOwner): void {
    line.timer = setTimeout(() => {
      line.timer = undefined
      this.#leave(owner, line)
    }, pauseMs)
  }

  #end(owner: string, line: LineOfOwner): void {
    clearTimeout(line.timer)
    line.timer = undefined
    this.#lines.delete(owner)
  }
}
