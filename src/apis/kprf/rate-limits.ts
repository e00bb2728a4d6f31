import type { KprfSettings } from './settings.js'

const WINDOW_MS = 60_000
const SLOTS = 61

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
export class RateLimiter {
  /** False: all records may pass, so checks can be skipped. */
  readonly isActive: boolean
  readonly #rules = new Map<string, RateRule>()

  constructor({ enabled, rules }: Pick<KprfSettings['ratelimit'], 'enabled' | 'rules'>) {
    // The last rule of a topic applies; without a topic or a limit there is no rule.
    for (const { topic, maxPerMinute } of enabled ? rules : []) {
      if (topic === '' || maxPerMinute === 0) this.#rules.delete(topic)
      else this.#rules.set(topic, new RateRule(maxPerMinute))
    }
    this.isActive = this.#rules.size > 0
  }

  /** Counts a record. @returns whether it may pass */
  allows(topic: string, nowMs: number): boolean {
    return this.#rules.get(topic)?.allows(nowMs) ?? true
  }

  /** Seconds until a record of the topic would pass if no other one came. */
  retryAfterSeconds(topic: string, nowMs: number): number {
    return this.#rules.get(topic)?.retryAfterSeconds(nowMs) ?? 0
  }
}

class RateRule {
  readonly #maxPerMinute: number
  readonly #counts = new Float64Array(SLOTS)
  readonly #lastAtMs = new Float64Array(SLOTS).fill(Number.NEGATIVE_INFINITY)
  /** The sum of the last minute, until a count of it is a minute old. */
  #sum = 0
  #sumUntilMs = Number.NEGATIVE_INFINITY

  constructor(maxPerMinute: number) {
    this.#maxPerMinute = maxPerMinute
  }

  allows(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000)
    const slot = second % SLOTS
    if (Math.floor(this.#lastAtMs[slot]! / 1_000) !== second) this.#counts[slot] = 0
    this.#counts[slot]!++
    this.#lastAtMs[slot] = nowMs
    if (nowMs < this.#sumUntilMs) return ++this.#sum <= this.#maxPerMinute
    this.#sumUntilMs = Math.min(...this.#lastAtMs.filter(lastAtMs => nowMs - lastAtMs < WINDOW_MS)) + WINDOW_MS
    this.#sum = this.#sumAt(nowMs)
    return this.#sum <= this.#maxPerMinute
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
