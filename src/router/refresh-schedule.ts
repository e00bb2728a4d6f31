import { backoffMs } from './backoff.js'
import type { TokenBucket } from './token-bucket.js'

interface Want {
  readonly topic: string
  notBefore: number
  mayBeCreated: boolean
}
interface Past {
  attempts: number
  startedAt: number
}

export interface RefreshScheduleOptions {
  readonly refreshBackoffMs: number
  readonly refreshBackoffMaxMs: number
  readonly random: () => number
  readonly isKnown: (topic: string) => boolean
  /** Limits look-ups of topics nobody knows. */
  readonly unknownLookUps: TokenBucket
}

/** What one metadata call should ask for. */
export interface RefreshPlan {
  readonly topics: readonly string[]
  readonly allowAutoTopicCreation: boolean
}

/** Quiet for so long, a topic's next refresh is a first one again. */
const FORGET_AFTER_MS = 10_000
const MAX_TOPICS_PER_CALL = 500

/**
 * Which topics to refresh when: one call at a time, merged over topics; each topic at once the first time and then with
 * a doubling pause; a call that failed pauses all. Decides only: the clock is an argument.
 */
export class RefreshSchedule {
  readonly #options: RefreshScheduleOptions
  readonly #wants = new Map<string, Want>()
  readonly #past = new Map<string, Past>()
  #wantsBrokers = false
  #inFlight: RefreshPlan | undefined
  readonly #onItsWay = new Set<string>()
  #failures = 0
  #pausedUntil = 0

  constructor(options: RefreshScheduleOptions) {
    this.#options = options
  }

  get isInFlight(): boolean {
    return this.#inFlight !== undefined
  }
  /** Calls in a row that no broker answered. */
  get failures(): number {
    return this.#failures
  }

  /** Nothing is wanted: what the Router finds after nearly every message. */
  get #isIdle(): boolean {
    return this.#wants.size === 0 && !this.#wantsBrokers
  }

  /**
   * Asks for a topic, merged with earlier wishes for it. One that is on its way counts: whoever finds its answer too
   * old asks again.
   */
  want(topic: string, mayBeCreated: boolean, now: number): void {
    if (this.#onItsWay.has(topic) && (this.#inFlight?.allowAutoTopicCreation || !mayBeCreated)) return
    const waiting = this.#wants.get(topic)
    if (waiting) waiting.mayBeCreated ||= mayBeCreated
    else this.#wants.set(topic, { topic, mayBeCreated, notBefore: this.#notBefore(topic, now) })
  }

  /** Asks who the brokers are. */
  wantBrokers(): void {
    this.#wantsBrokers = true
  }

  /** What to ask now, if anything; the call is then in flight until {@link succeeded} or {@link failed}. */
  start(now: number): RefreshPlan | undefined {
    if (this.#inFlight || this.#isIdle || now < this.#pausedUntil) return undefined
    const due = [...this.#wants.values()].filter(want => want.notBefore <= now)
    const mayBeCreated = due[0]?.mayBeCreated ?? false
    const topics = this.#admit(
      due.filter(want => want.mayBeCreated === mayBeCreated).slice(0, MAX_TOPICS_PER_CALL),
      now
    )
    if (topics.length === 0 && !this.#wantsBrokers) return undefined
    for (const topic of topics) {
      this.#wants.delete(topic)
      this.#onItsWay.add(topic)
      this.#past.set(topic, { attempts: (this.#past.get(topic)?.attempts ?? 0) + 1, startedAt: now })
    }
    this.#wantsBrokers = false
    this.#inFlight = { topics, allowAutoTopicCreation: mayBeCreated }
    return this.#inFlight
  }

  succeeded(): void {
    this.#inFlight = undefined
    this.#onItsWay.clear()
    this.#failures = 0
    this.#pausedUntil = 0
  }

  /** Nobody answered: everything waits a little, and what was asked is still wanted. */
  failed(plan: RefreshPlan, now: number): void {
    const { refreshBackoffMs, refreshBackoffMaxMs, random } = this.#options
    this.#inFlight = undefined
    this.#onItsWay.clear()
    this.#pausedUntil = now + backoffMs(this.#failures++, refreshBackoffMs, refreshBackoffMaxMs, random)
    for (const topic of plan.topics) {
      const want = this.#wants.get(topic)
      this.#wants.set(topic, {
        topic,
        notBefore: now,
        mayBeCreated: (want?.mayBeCreated ?? false) || plan.allowAutoTopicCreation
      })
    }
    this.#wantsBrokers = true
  }

  /** When {@link start} may have something next; `undefined` when nothing is wanted. */
  nextAt(now: number): number | undefined {
    if (this.#inFlight || this.#isIdle) return undefined
    let next = this.#wantsBrokers ? now : Number.POSITIVE_INFINITY
    for (const want of this.#wants.values()) next = Math.min(next, want.notBefore)
    const due = Math.max(next, this.#pausedUntil)
    // What is due and did not start was held back by the limit on unknown topics.
    return due > now || this.#wantsBrokers ? due : now + Math.max(1, this.#options.unknownLookUps.untilNextMs)
  }

  /** Drops what no longer matters. */
  tidy(now: number): void {
    for (const [topic, past] of this.#past) if (now - past.startedAt > FORGET_AFTER_MS) this.#past.delete(topic)
  }

  #notBefore(topic: string, now: number): number {
    const past = this.#past.get(topic)
    if (!past || now - past.startedAt > FORGET_AFTER_MS) {
      this.#past.delete(topic)
      return now
    }
    const { refreshBackoffMs, refreshBackoffMaxMs, random } = this.#options
    return past.startedAt + backoffMs(past.attempts - 1, refreshBackoffMs, refreshBackoffMaxMs, random)
  }

  /** All known topics, and as many unknown ones as the limit lets through. */
  #admit(wants: readonly Want[], now: number): string[] {
    const unknown = wants.filter(({ topic }) => !this.#options.isKnown(topic))
    const allowed = new Set(unknown.slice(0, this.#options.unknownLookUps.take(unknown.length, now)))
    return wants.filter(want => allowed.has(want) || this.#options.isKnown(want.topic)).map(({ topic }) => topic)
  }
}
