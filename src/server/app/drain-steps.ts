import type { Logger } from '../../core/model.js'
import type { LifetimeStep } from '../../http/api/api.js'

/** What APIs do while requests are being finished, all at the same time. One that fails is logged. */
export class DrainSteps {
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
