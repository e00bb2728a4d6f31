import sinon from 'sinon'
import { turns } from './ticks.js'

/** Timers and a clock that stand still until told to go on; turns of the event loop are real. */
export class FakeTime {
  readonly #timers: sinon.SinonFakeTimers

  /** @param more what stands still as well, for those that are not given a clock */
  constructor(...more: readonly 'performance'[]) {
    const toFake = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', ...more] as const
    // The other clock begins at 0.
    this.#timers = sinon.useFakeTimers({ toFake: [...toFake], now: more.length > 0 ? 0 : 1_000 })
  }

  readonly now = (): number => this.#timers.now

  /** Timers that are waiting. */
  get timers(): number {
    return this.#timers.countTimers()
  }

  /** Lets time pass in small steps, and everybody do in each what there is to do. */
  async pass(ms: number, stepMs = 5): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await turns(12)
      this.#timers.tick(stepMs)
    }
    await turns(12)
  }

  /** The process stands still for so long in the middle of what it does, by `now` alone. */
  standStill(ms: number): void {
    this.#timers.setSystemTime(this.#timers.now + ms)
  }

  /** Idempotent. */
  restore(): void {
    this.#timers.restore()
  }
}
