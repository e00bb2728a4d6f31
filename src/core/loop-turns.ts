import { ClientTurns } from './client-turns.js'

/** Work on a record costs about as much as that on so many of its bytes, besides the bytes themselves. */
const COST_OF_A_RECORD = 256

/** The cost of records, in bytes. Counted instead of measured: a slow machine must not change who is next. */
export const costOf = (bytes: number, records: number): number => bytes + COST_OF_A_RECORD * records

export interface TickLimits {
  /** Least limit of one turn of the event loop, for any number of takers. */
  readonly costPerTick: number
  /** Limit for a single taker. For n takers together it is divided by n, but stays at least `costPerTick`. */
  readonly costPerTickAlone: number
}

/** A millisecond of work for many, so that a request that arrives in between waits no longer; four for one alone. */
export const TICK_LIMITS: TickLimits = { costPerTick: 64 * 1024, costPerTickAlone: 256 * 1024 }

/** Long work with a result, cut into pieces: it yields the cost of each. */
export type InPieces<Result> = Generator<number, Result>

/** Does all of it now. */
export function atOnce<Result>(work: InPieces<Result>): Result {
  for (;;) {
    const piece = work.next()
    if (piece.done === true) return piece.value
  }
}

/** Work on more records is cut into pieces. */
export const MANY_RECORDS = 256
/** The cost of a piece of such work: less than a millisecond. */
export const PIECE_COST = 64 * 1024

/** The texts of items, between others. @param between by default a comma @returns bytes, where there are many items */
export function* joined<Item>(
  before: string,
  items: readonly Item[],
  textOf: (item: Item, at: number) => string,
  after: string,
  between = ','
): InPieces<string | Buffer> {
  const pieces: Buffer[] = []
  let text = before
  for (let at = 0; at < items.length; at++) {
    if (at > 0) text += between
    text += textOf(items[at]!, at)
    if (at % MANY_RECORDS < MANY_RECORDS - 1 || at === items.length - 1) continue
    pieces.push(Buffer.from(text))
    yield costOf(text.length, MANY_RECORDS)
    text = ''
  }
  text += after
  return pieces.length === 0 ? text : Buffer.concat([...pieces, Buffer.from(text)])
}

/** Takes turns with others. */
export interface TurnTaker {
  /** Owners take turns, whatever number of takers each of them has. Absent: it has no owner but itself. */
  readonly owner?: unknown
  /**
   * Gives the taker its turn: it works, and calls {@link LoopTurns.ask} again when more is left to do.
   *
   * @param maxCost it stops behind the record with which it reaches this cost
   * @returns the cost of what was done
   */
  work(maxCost: number): number
}

/**
 * Lets long work take turns, so that other requests do not wait for all of it: in each turn of the event loop a bounded
 * amount is done, for one owner after another.
 */
export class LoopTurns {
  readonly #limits: TickLimits
  /** Takers that wait for a turn, by owner. */
  readonly #waiting = new ClientTurns<TurnTaker, unknown>()
  /** Takers that share a tick, those included that do not wait at the moment. */
  readonly #active = new Set<TurnTaker>()
  /** Work of each owner that is done one after another, because each holds what it has made. */
  readonly #works = new Map<unknown, InPieces<void>[]>()
  #costOfTick = 0
  #isServing = false
  #isTickPlanned = false

  constructor(limits = TICK_LIMITS) {
    this.#limits = limits
  }

  /** Asks for a turn. The taker gets it at once when no other one waits and the cost of this tick is not used up. */
  ask(taker: TurnTaker): void {
    this.#waiting.add(taker.owner ?? taker, taker)
    if (!this.#isServing) this.#serve()
  }

  /** Called when a taker has nothing to do for now, or has ended. */
  leave(taker: TurnTaker): void {
    this.#waiting.delete(taker.owner ?? taker, taker)
  }

  setActive(taker: TurnTaker, isActive: boolean): void {
    if (isActive) this.#active.add(taker)
    else this.#active.delete(taker)
  }

  /**
   * Does work in turns, the first pieces at once if {@link ask} would. Errors of the work end the process, unless the caller
   * catches them.
   *
   * @param owner its works are done one after another
   * @param isFirst true: runs before the owner's other works, because it continues the one that runs now
   */
  run(work: InPieces<void>, owner: unknown = work, isFirst = false): void {
    const works = this.#works.get(owner)
    if (works !== undefined) {
      if (isFirst) works.unshift(work)
      else works.push(work)
      return
    }
    this.#works.set(owner, [work])
    const takeTurn = (maxCost: number): number => {
      let cost = 0
      while (cost < maxCost) {
        const [current] = this.#works.get(owner)!
        const piece = this.#next(current!, taker)
        if (piece.done !== true) cost += piece.value
        else {
          const all = this.#works.get(owner)!
          all.splice(all.indexOf(current!), 1)
          if (all.length === 0) {
            this.#works.delete(owner)
            return cost
          }
          cost++
        }
      }
      this.ask(taker)
      return cost
    }
    const taker: TurnTaker = { owner, work: takeTurn }
    this.ask(taker)
  }

  /** Work that fails has ended; work behind it goes on. */
  #next(work: InPieces<void>, taker: TurnTaker): IteratorResult<number, void> {
    try {
      return work.next()
    } catch (error) {
      this.ask(taker)
      throw error
    }
  }

  /** Largest cost of one tick. A few takers may do more in one tick than many, since each tick has a cost of its own. */
  get #mostPerTick(): number {
    const { costPerTick, costPerTickAlone } = this.#limits
    // A taker whose records cannot be used is not active.
    const takers = Math.max(1, this.#active.size, this.#waiting.size)
    return Math.max(costPerTick, costPerTickAlone / takers)
  }

  #serve(): void {
    this.#isServing = true
    const mostPerTick = this.#mostPerTick
    // A taker that asks again during its turn is visited again, after the others.
    try {
      while (this.#costOfTick < mostPerTick) {
        const taker = this.#waiting.next()
        if (taker === undefined) break
        const left = mostPerTick - this.#costOfTick
        // A turn that fails counts as well: the turns of others come in the next tick.
        this.#costOfTick++
        this.#costOfTick += Math.max(0, taker.work(left) - 1)
      }
    } finally {
      this.#isServing = false
      if (this.#costOfTick > 0) this.#planTick()
    }
  }

  #planTick(): void {
    if (this.#isTickPlanned) return
    this.#isTickPlanned = true
    setImmediate(() => {
      this.#isTickPlanned = false
      this.#costOfTick = 0
      this.#serve()
    })
  }
}
