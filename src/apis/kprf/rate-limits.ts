import type { RecordFailure } from '../../core/model.js'
import type { KprfMetrics } from './kprf-metrics.js'
import type { PushRecord } from './push-parse.js'
import { messageTooLarge, rateLimited, recordTooLarge } from './record-errors.js'
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
  readonly #rules = new Map<string, Rule>()

  constructor({ enabled, rules }: Pick<KprfSettings['ratelimit'], 'enabled' | 'rules'>) {
    // The last rule of a topic applies; without a topic or a limit there is no rule.
    for (const { topic, maxPerMinute } of enabled ? rules : []) {
      if (topic === '' || maxPerMinute === 0) this.#rules.delete(topic)
      else this.#rules.set(topic, new Rule(maxPerMinute))
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

class Rule {
  readonly #maxPerMinute: number
  readonly #seconds = new Float64Array(SLOTS).fill(Number.NEGATIVE_INFINITY)
  readonly #counts = new Float64Array(SLOTS)
  readonly #lastAtMs = new Float64Array(SLOTS).fill(Number.NEGATIVE_INFINITY)

  constructor(maxPerMinute: number) {
    this.#maxPerMinute = maxPerMinute
  }

  allows(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000)
    const slot = second % SLOTS
    if (this.#seconds[slot] !== second) this.#counts[slot] = 0
    this.#seconds[slot] = second
    this.#counts[slot]!++
    this.#lastAtMs[slot] = nowMs
    return this.#sumAt(nowMs) <= this.#maxPerMinute
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

/**
 * librdkafka counts this many bytes of its own towards `message.max.bytes`. Measured on kprf: 1,048,540 of 1,048,576.
 */
const OVERHEAD_BYTES = 36

/** Which records are within the limits, and the errors of the others. */
interface LimitCheck {
  readonly records: readonly PushRecord[]
  /**
   * `undefined`: all records are within the limits. Otherwise one entry per record of the request, `undefined` for
   * those within the limits.
   */
  readonly refusals: readonly (RecordFailure | undefined)[] | undefined
  /** Seconds until records of every topic would be within its limit again; absent when no topic is beyond its limit. */
  readonly retryAfterSeconds?: number
}

/** Refuses what kprf refuses before its queue: records beyond a rate limit, and records that are too large. */
export class RecordLimits {
  readonly #maxBytes: number
  readonly #limiter: RateLimiter
  readonly #metrics: KprfMetrics
  readonly #now: () => number

  constructor(messageMaxBytes: number, limiter: RateLimiter, metrics: KprfMetrics, now: () => number) {
    this.#maxBytes = messageMaxBytes - OVERHEAD_BYTES
    this.#limiter = limiter
    this.#metrics = metrics
    this.#now = now
  }

  check(records: readonly PushRecord[]): LimitCheck {
    if (!this.#limiter.isActive && !records.some(record => this.#isTooLarge(record))) {
      return { records, refusals: undefined }
    }
    const refusals = records.map(record => this.#refusalOf(record))
    if (refusals.every(refusal => refusal === undefined)) return { records, refusals: undefined }
    const limited = new Set(records.filter((_, i) => refusals[i] === rateLimited).map(({ topic }) => topic))
    return {
      records: records.filter((_, i) => refusals[i] === undefined),
      refusals,
      ...(limited.size > 0 && { retryAfterSeconds: this.#retryAfterSeconds(limited) })
    }
  }

  #retryAfterSeconds(topics: ReadonlySet<string>): number {
    let longest = 0
    for (const topic of topics) longest = Math.max(longest, this.#limiter.retryAfterSeconds(topic, this.#now()))
    return longest
  }

  #refusalOf(record: PushRecord): RecordFailure | undefined {
    if (!this.#limiter.allows(record.topic, this.#now())) {
      this.#metrics.rateLimited(record.topic)
      return rateLimited
    }
    if (!this.#isTooLarge(record)) return undefined
    this.#metrics.topic(record.topic).sent.value++
    this.#metrics.failed(record.topic, messageTooLarge)
    return recordTooLarge
  }

  #isTooLarge({ key, value }: PushRecord): boolean {
    return value.length + (key === null ? 0 : key.length) > this.#maxBytes
  }
}
