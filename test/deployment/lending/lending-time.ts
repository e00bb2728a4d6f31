import type { Timer } from '../../../src/consumer/group/group-runtime.js'
import type { LendingTime } from '../../../src/deployment/calls/lending-calls.js'
import { turns } from '../../support/ticks.js'

/** A clock and timers that the test moves on. Ticks are those of the event loop. */
export class HandTime implements LendingTime {
  #now = 10_000
  #timers: { readonly at: number; readonly run: () => void }[] = []

  readonly clock = (): number => this.#now
  readonly tick = (run: () => void): void => void setImmediate(run)
  readonly after = (delayMs: number, run: () => void): Timer => {
    const timer = { at: this.#now + delayMs, run }
    this.#timers.push(timer)
    return { cancel: () => (this.#timers = this.#timers.filter(one => one !== timer)) }
  }

  get timers(): number {
    return this.#timers.length
  }

  /** Time passes, and all is done that is due by then, in order. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms
    await turns(4)
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((one, other) => one.at - other.at)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter(one => one !== next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
      await turns(4)
    }
    this.#now = until
    await turns(4)
  }

  /** The process stands still: no timer runs. */
  standStill(ms: number): void {
    this.#now += ms
  }
}
