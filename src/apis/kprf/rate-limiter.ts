import type { KprfSettings } from './settings.js'

const WINDOW_MS = 60_000
const SLOTS = 61

/** Which records may pass. */
export interface Limits {
  /** False: all may, so checks can be skipped. */
  readonly isActive: boolean
  /** Counts a record; true when it may pass. */
  allows(topic: string, nowMs: number): boolean
  /** When a record of the topic would pass if none came until then. */
  retryAfterSeconds(topic: string, nowMs: number): number
}

/**
 * Records per topic and minute: one count per second, and the sum of the last minute decides.
 *
 *   second 62 => slot 1, which still holds second 1: it starts again with this record.
 *
 * A refused record counts too, so a client that hammers stays blocked. Only topics with a rule take memory. A count is
 * dropped when its last record is a minute old, so that within any 60 seconds no more pass than the limit. kprf has 60
 * slots, and forgets a second that is not quite a minute old.
 *
 * Source: kprf fd32acc, ratelimit.
 */
export class RateLimiter implements Limits {
  readonly #rules = new Map<string, Rule>()

  constructor({ enabled, rules }: Pick<KprfSettings['ratelimit'], 'enabled' | 'rules'>) {
    if (!enabled) return
    // The last rule of a topic applies; without a topic or a limit there is no rule.
    for (const { topic, maxPerMinute } of rules) {
      if (topic === '' || maxPerMinute === 0) this.#rules.delete(topic)
      else this.#rules.set(topic, new Rule(maxPerMinute))
    }
  }

  get isActive(): boolean {
    return this.#rules.size > 0
  }

  hasRule(topic: string): boolean {
    return this.#rules.has(topic)
  }

  allows(topic: string, nowMs: number): boolean {
    return this.take(topic, 1, nowMs) === 1
  }

  /** Counts records. @returns how many of them may pass */
  take(topic: string, records: number, nowMs: number): number {
    return this.#rules.get(topic)?.take(records, nowMs) ?? records
  }

  retryAfterSeconds(topic: string, nowMs: number): number {
    return this.#rules.get(topic)?.retryAfterSeconds(nowMs) ?? 0
  }
}

class Rule {
  readonly #maxPerMinute: number
  readonly #seconds = new Float64Array(SLOTS).fill(Number.NEGATIVE_INFINITY)
  readonly #counts = new Float64Array(SLOTS)
  readonly #lastAtMs = new Float64Array(SLOTS).fill(Number.NEGATIVE_INFINITY)

  constructor(maxPerMinute: number) {
    this.#maxPerMinute = maxPerMinute
  }

  take(records: number, nowMs: number): number {
    const second = Math.floor(nowMs / 1_000)
    const slot = second % SLOTS
    if (this.#seconds[slot] !== second) this.#counts[slot] = 0
    this.#seconds[slot] = second
    this.#counts[slot]! += records
    this.#lastAtMs[slot] = nowMs
    const beyond = this.#sumAt(nowMs) - this.#maxPerMinute
    return Math.max(0, records - Math.max(0, beyond))
  }

  #sumAt(nowMs: number): number {
    let sum = 0
    for (let i = 0; i < SLOTS; i++) if (nowMs - this.#lastAtMs[i]! < WINDOW_MS) sum += this.#counts[i]!
    return sum
  }

  retryAfterSeconds(nowMs: number): number {
    let seconds = 1
    while (this.#sumAt(nowMs + seconds * 1_000) >= this.#maxPerMinute) seconds++
    return seconds
  }
}
