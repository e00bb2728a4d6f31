import type { KprfSettings } from '../../config/kprf-settings.js'

const SLOTS = 60

/**
 * Records per topic and minute: one count per second, and the sum of the last minute decides.
 *
 *   second 61 => slot 1, which still holds second 1: it starts again with this record.
 *
 * A refused record counts too, so a client that hammers stays blocked. Only topics with a rule take memory.
 *
 * Source: kprf fd32acc, ratelimit.
 */
export class RateLimiter {
  readonly #rules = new Map<string, Rule>()

  constructor({ enabled, rules }: KprfSettings['ratelimit']) {
    if (!enabled) return
    // The last rule of a topic wins; no topic and no limit mean no rule.
    for (const { topic, maxPerMinute } of rules) {
      if (topic === '' || maxPerMinute === 0) this.#rules.delete(topic)
      else this.#rules.set(topic, new Rule(maxPerMinute))
    }
  }

  /** False: no topic has a rule, so nobody need ask. */
  get isActive(): boolean {
    return this.#rules.size > 0
  }

  /** Counts a record; true when it may pass. */
  allows(topic: string, nowMs: number): boolean {
    const rule = this.#rules.get(topic)
    return rule === undefined || rule.allows(Math.floor(nowMs / 1_000))
  }
}

class Rule {
  readonly #maxPerMinute: number
  readonly #seconds = new Float64Array(SLOTS).fill(Number.NEGATIVE_INFINITY)
  readonly #counts = new Float64Array(SLOTS)

  constructor(maxPerMinute: number) {
    this.#maxPerMinute = maxPerMinute
  }

  allows(second: number): boolean {
    const slot = second % SLOTS
    if (this.#seconds[slot] === second) this.#counts[slot]!++
    else {
      this.#seconds[slot] = second
      this.#counts[slot] = 1
    }
    let sum = 0
    for (let i = 0; i < SLOTS; i++) if (second - this.#seconds[i]! <= SLOTS) sum += this.#counts[i]!
    return sum <= this.#maxPerMinute
  }
}
