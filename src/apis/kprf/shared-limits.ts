import { OverloadedError } from '../../core/errors.js'
import type { PushRecord } from './push-request.js'
import { type Limits, RateLimiter } from './rate-limiter.js'
import type { KprfSettings } from './settings.js'

/** How many records of a topic there are, and of how many of them it is known that they may pass. */
type Asked = readonly (readonly [topic: string, records: number])[]
type Granted = readonly (readonly [allowed: number, retryAfterSeconds: number])[]

/** Decides for several processes together, so that 42 a minute are 42 whichever of them the records come to. */
export function limitsOfAll({ ratelimit }: KprfSettings, now: () => number): (question: unknown) => Granted {
  const limiter = new RateLimiter(ratelimit)
  return question =>
    (question as Asked).map(([topic, records]) => {
      const nowMs = now()
      const allowed = limiter.take(topic, records, nowMs)
      return [allowed, allowed < records ? limiter.retryAfterSeconds(topic, nowMs) : 0]
    })
}

/** The limits in one of several processes: records of topics with a rule have to be asked for. */
export class SharedLimits {
  readonly #rules: RateLimiter
  readonly #ask: (question: unknown) => Promise<unknown>

  constructor({ ratelimit }: Pick<KprfSettings, 'ratelimit'>, ask: (question: unknown) => Promise<unknown>) {
    this.#rules = new RateLimiter(ratelimit)
    this.#ask = ask
  }

  /**
   * Counts records.
   *
   * @returns which of them may pass; `undefined`: all, since no topic has a rule
   */
  permits(records: readonly PushRecord[]): Promise<Limits> | undefined {
    if (!this.#rules.isActive) return undefined
    const counts = new Map<string, number>()
    for (const { topic } of records) {
      if (this.#rules.hasRule(topic)) counts.set(topic, (counts.get(topic) ?? 0) + 1)
    }
    return counts.size === 0 ? undefined : this.#permits([...counts])
  }

  /** @throws OverloadedError when the others cannot be asked */
  async #permits(asked: Asked): Promise<Limits> {
    try {
      const granted = (await this.#ask(asked)) as Granted
      return new Permits(new Map(asked.map(([topic], at) => [topic, granted[at]!])))
    } catch (error) {
      throw new OverloadedError(`the rate limits of all workers cannot be asked: ${(error as Error).message}`)
    }
  }
}

/** What was granted for the records of one request: of each topic the first ones. */
class Permits implements Limits {
  readonly isActive = true
  readonly #left = new Map<string, number>()
  readonly #retryAfterSeconds = new Map<string, number>()

  constructor(granted: ReadonlyMap<string, Granted[number]>) {
    for (const [topic, [allowed, retryAfterSeconds]] of granted) {
      this.#left.set(topic, allowed)
      this.#retryAfterSeconds.set(topic, retryAfterSeconds)
    }
  }

  allows(topic: string): boolean {
    const left = this.#left.get(topic)
    if (left === undefined) return true
    this.#left.set(topic, left - 1)
    return left > 0
  }

  retryAfterSeconds(topic: string): number {
    return this.#retryAfterSeconds.get(topic) ?? 0
  }
}

/** Lets everything pass: of records without a rule. */
export const noLimits: Limits = { isActive: false, allows: () => true, retryAfterSeconds: () => 0 }
