const TICK_MS = 10

/** Keeps the latest of many moments, to ten milliseconds. Adding or removing one takes the same time however many there are. */
export class Latest {
  /** How many moments each ten milliseconds have. */
  readonly #counts = new Map<number, number>()
  /** Ticks in ascending order. A tick without moments is removed when it is the first or the last one. */
  readonly #ticks: number[] = []

  /** The latest moment; `undefined`: there is none. */
  get moment(): number | undefined {
    while (this.#drop(this.#ticks.at(-1))) this.#ticks.pop()
    const last = this.#ticks.at(-1)
    return last && last * TICK_MS
  }

  add(moment: number): void {
    const tick = tickOf(moment)
    const count = this.#counts.get(tick)
    this.#counts.set(tick, (count ?? 0) + 1)
    if (count !== undefined) return
    while (this.#drop(this.#ticks[0])) this.#ticks.shift()
    let at = this.#ticks.length
    while (at > 0 && this.#ticks[at - 1]! > tick) at--
    this.#ticks.splice(at, 0, tick)
  }

  remove(moment: number): void {
    const tick = tickOf(moment)
    this.#counts.set(tick, this.#counts.get(tick)! - 1)
  }

  #drop(tick: number | undefined): boolean {
    return tick !== undefined && this.#counts.get(tick) === 0 && this.#counts.delete(tick)
  }
}

const tickOf = (moment: number): number => Math.ceil(moment / TICK_MS)
