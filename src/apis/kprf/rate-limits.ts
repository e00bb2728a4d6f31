import { OverloadedError } from '../../core/errors.js'
import type { PushRecord } from './push-parse.js'
import type { KprfSettings } from './settings.js'

const WINDOW_MS = 60_000
const SLOTS = 61

export interface Limits {
  /** False: all records may pass, so checks can be skipped. */
  readonly isActive: boolean
  /** Counts a record; true when it may pass. */
  allows(topic: string, nowMs: number): boolean
  /** Seconds until a record of the topic would pass if no other one came. */
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

/** Number of records that a request wants to produce to each topic. */
type Asked = readonly (readonly [topic: string, records: number])[]
/** For each topic, in the same order: how many records may pass, and when to retry the others. */
type Granted = readonly (readonly [allowed: number, retryAfterSeconds: number])[]

/** Decides for all processes together, so a limit of 42 a minute holds whichever processes receive the records. */
export function limitsOfAll({ ratelimit }: KprfSettings, now: () => number): (question: unknown) => Granted {
  const limiter = new RateLimiter(ratelimit)
  return question =>
    (question as Asked).map(([topic, records]) => {
      const nowMs = now()
      const allowed = limiter.take(topic, records, nowMs)
      return [allowed, allowed < records ? limiter.retryAfterSeconds(topic, nowMs) : 0]
    })
}

/** The limits in one of several processes. It asks the parent process about records of topics that have a rule. */
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

  /** @throws OverloadedError when the parent process does not answer */
  async #permits(asked: Asked): Promise<Limits> {
    try {
      const granted = (await this.#ask(asked)) as Granted
      return new Permits(new Map(asked.map(([topic], at) => [topic, granted[at]!])))
    } catch (error) {
      throw new OverloadedError(`the rate limits of all workers cannot be asked: ${(error as Error).message}`)
    }
  }
}

/** The records of one request that may pass: the first ones of each topic. */
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

/** Lets every record pass. */
export const noLimits: Limits = { isActive: false, allows: () => true, retryAfterSeconds: () => 0 }

/** Calls exactly one of the two functions, once, in a later tick. */
type Turn = (serve: (limits: Limits) => void, fail: (error: unknown) => void) => void

/** Serves pushes that wait for their limits in the order in which they came over their connection. */
export class LimitTurns {
  readonly #limits: SharedLimits
  /** By connection: settles when its last waiting push has been served. */
  readonly #last = new WeakMap<object, Promise<void>>()

  constructor(limits: SharedLimits) {
    this.#limits = limits
  }

  /**
   * Asks whether records may pass.
   *
   * @returns `undefined`: they may pass at once, since no topic has a limit and no earlier push of the connection waits
   */
  take(connection: object, records: readonly PushRecord[]): Turn | undefined {
    const permits = this.#limits.permits(records)
    const before = this.#last.get(connection)
    if (permits === undefined && before === undefined) return undefined
    // The promise is awaited later, behind others. A failure before that would count as unhandled.
    permits?.catch(() => undefined)
    return (serve, fail) => {
      const served = (before ?? Promise.resolve())
        .then(() => permits ?? noLimits)
        .then(serve)
        .catch(fail)
        .finally(() => {
          if (this.#last.get(connection) === served) this.#last.delete(connection)
        })
      this.#last.set(connection, served)
    }
  }
}
