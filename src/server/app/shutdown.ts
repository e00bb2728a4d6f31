import type { Logger, MonotonicClock } from '../../core/model.js'

/** Time reserved for the steps after requests and delivery, which could otherwise use up everything. */
const RESERVED_MS = 1_000

interface Step {
  readonly name: string
  /** @param remainingMs time limit of this step */
  run(remainingMs: number): Promise<unknown>
  /** Share of the remaining time that this step may use, 0 to 1. */
  readonly share: number
}

/**
 * Stops what was started, in reverse order and within one time limit. A step that fails or takes too long is logged,
 * and the next ones are taken all the same.
 */
export class Shutdown {
  readonly #steps: Step[] = []
  readonly #log: Logger
  readonly #now: MonotonicClock

  constructor(log: Logger, now: MonotonicClock) {
    this.#log = log
    this.#now = now
  }

  /** Registers the stop of something that has been started. */
  add(name: string, run: Step['run'], share = 1): void {
    this.#steps.push({ name, run, share })
  }

  /** Registers a step that comes after all others. */
  addFirst(name: string, run: Step['run']): void {
    this.#steps.unshift({ name, run, share: 1 })
  }

  async run(graceMs: number): Promise<void> {
    const endsAt = this.#now() + graceMs
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      const remainingMs = Math.max(0, endsAt - this.#now())
      const reservedMs = this.#steps.length > 0 ? Math.min(RESERVED_MS, remainingMs / 2) : 0
      await this.#runStep(step, Math.floor((remainingMs - reservedMs) * step.share))
    }
  }

  async #runStep({ name, run }: Step, remainingMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>(resolve => {
      // A step with a time limit of its own may use it up before it counts as too late.
      timer = setTimeout(() => resolve(`took longer than ${remainingMs} ms`), remainingMs + 50)
    })
    try {
      const problem = await Promise.race([run(remainingMs).then(() => undefined), late])
      if (problem !== undefined) this.#log.warn({ step: name }, `${name} ${problem}; going on`)
    } catch (error) {
      this.#log.warn({ step: name, err: error }, `${name} failed; going on`)
    } finally {
      clearTimeout(timer)
    }
  }
}
