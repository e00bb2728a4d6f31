import type { Logger, MonotonicClock } from '../model.js'

/** Kept for what comes after the requests and the lanes, which could use up everything. */
const RESERVED_MS = 1_000

interface Step {
  readonly name: string
  /** @param remainingMs what is left for this step */
  run(remainingMs: number): Promise<unknown>
  /** Share of what is left that this step may use, 0 to 1. */
  readonly share: number
}

/**
 * Undoes what was started, last first, all of it within one time limit. A step that fails or takes too long is logged
 * and left behind: what comes below it is stopped all the same.
 */
export class Shutdown {
  readonly #steps: Step[] = []
  readonly #log: Logger
  readonly #now: MonotonicClock

  constructor(log: Logger, now: MonotonicClock) {
    this.#log = log
    this.#now = now
  }

  /** To be called when something has been started. */
  add(name: string, run: Step['run'], share = 1): void {
    this.#steps.push({ name, run, share })
  }

  /** For what is to be stopped after everything else. */
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
      // A step that keeps its own time gets the chance to say what it has left.
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
