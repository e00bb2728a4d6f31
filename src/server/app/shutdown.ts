import { inTime } from '../../core/in-time.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { LifetimeStep } from '../../http/api/api.js'

/** Time that each step must leave for the later steps. */
const RESERVED_MS = 1_000

interface ShutdownStep {
  readonly name: string
  /** @param remainingMs time limit of this step */
  run(remainingMs: number): Promise<unknown>
  /** Share of the remaining time that the step may use, 0 to 1. */
  readonly share: number
}

/** Takes the steps that stop parts of the process. */
export interface ShutdownSteps {
  /** Adds a step that runs before those that were added earlier. */
  add(name: string, run: ShutdownStep['run'], share?: number): void
}

/** Takes the steps of APIs. */
export interface LifetimeSteps {
  add(name: string, run: LifetimeStep): void
}

/**
 * Stops the started parts in reverse order, within one time limit. If a step fails or takes too long, this is logged
 * and the next step runs.
 */
export class Shutdown implements ShutdownSteps {
  readonly #steps: ShutdownStep[] = []
  readonly #log: Logger
  readonly #now: MonotonicClock

  constructor(log: Logger, now: MonotonicClock) {
    this.#log = log
    this.#now = now
  }

  add(name: string, run: ShutdownStep['run'], share = 1): void {
    this.#steps.push({ name, run, share })
  }

  addFirst(name: string, run: ShutdownStep['run']): void {
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

  async #runStep({ name, run }: ShutdownStep, remainingMs: number): Promise<void> {
    try {
      const ended = run(remainingMs).then(() => undefined)
      // Each step observes the limit itself, so it counts as late only 50 ms after the limit.
      const problem = await inTime(ended, remainingMs + 50, () => `took longer than ${remainingMs} ms`)
      if (problem !== undefined) this.#log.warn({ step: name }, `${name} ${problem}; going on`)
    } catch (error) {
      this.#log.warn({ step: name, err: error }, `${name} failed; going on`)
    }
  }
}

/** Steps of APIs. They run at the same time, while open requests are answered. A failed step is logged. */
export class DrainSteps implements LifetimeSteps {
  readonly #log: Logger
  readonly #steps: { readonly name: string; readonly run: LifetimeStep }[] = []

  constructor(log: Logger) {
    this.#log = log
  }

  add(name: string, run: LifetimeStep): void {
    this.#steps.push({ name, run })
  }

  async run(remainingMs: number): Promise<void> {
    await Promise.all(this.#steps.map(step => this.#run(step, remainingMs)))
  }

  async #run({ name, run }: { readonly name: string; readonly run: LifetimeStep }, remainingMs: number): Promise<void> {
    try {
      await run(remainingMs)
    } catch (error) {
      this.#log.warn({ api: name, err: error }, `draining ${name} failed; going on`)
    }
  }
}
