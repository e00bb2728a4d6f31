import type { Logger } from '../../core/model.js'

const LOOK_EVERY_MS = 1_000

/**
 * Looks again and again whether the durable log can be used: a gateway whose APIs keep records there is not ready without
 * it, and nothing else would try again while load balancers send no requests.
 */
export class DurableLogWatch {
  readonly #whyUnusable: () => Promise<string | undefined>
  readonly #log: Logger
  #problem: string | undefined
  #timer: NodeJS.Timeout | undefined
  #isLooking = false

  /** @param whyUnusable why no record can be stored now; `undefined`: nothing is in the way */
  constructor(whyUnusable: () => Promise<string | undefined>, log: Logger) {
    this.#whyUnusable = whyUnusable
    this.#log = log
  }

  /** What was found last, for `/ready`; `undefined`: the log can be used. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Resolves when it has looked for the first time. */
  start(): Promise<void> {
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS)
    return this.#look()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const problem = await this.#whyUnusable()
    this.#isLooking = false
    if (problem === undefined && this.#problem !== undefined) this.#log.info({}, 'the durable log can be used now')
    this.#problem = problem
  }
}
