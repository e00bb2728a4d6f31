import type { MonotonicClock } from '../../core/model.js'
import type { AcknowledgeType } from './queue-reader.js'
import type { TokenResult } from './queue-verbs.js'

/** Proxies and clients repeat requests by themselves. Answers are remembered up to twice as long. */
const REMEMBERED_MS = 60_000
/** With more, the oldest are forgotten sooner. One takes about 40 bytes. */
const MAX_LATEST = 80_000

export type SettleResult = Omit<TokenResult, 'token'>

export type TellResult = (result: SettleResult) => void

interface FirstAnswer {
  readonly type: AcknowledgeType
  readonly result: SettleResult
}

/**
 * The first answers about settled messages, by the acquisitions of their tokens. Old ones are forgotten together, since a search
 * among many takes long.
 */
export class SettledTokens {
  readonly #now: MonotonicClock
  #latest = new Map<number, FirstAnswer>()
  #former: ReadonlyMap<number, FirstAnswer> = new Map()
  #since: number
  /** Most answers are like the one before. */
  #last: FirstAnswer | undefined

  constructor(now: MonotonicClock) {
    this.#now = now
    this.#since = now()
  }

  note(acquisition: number, type: AcknowledgeType, result: SettleResult): void {
    this.#forgetOld()
    // A renewal may be repeated, and an acknowledgement that has not settled the message, too.
    if (type === 'renew' || (result.outcome !== 'done' && result.outcome !== 'unknown')) return
    if (this.#last?.type !== type || this.#last.result !== result) this.#last = { type, result }
    this.#latest.set(acquisition, this.#last)
  }

  /** The answer to the same acknowledgement before. `undefined`: there was none, or it was forgotten. */
  find(acquisition: number, type: AcknowledgeType): SettleResult | undefined {
    this.#forgetOld()
    const first = this.#latest.get(acquisition) ?? this.#former.get(acquisition)
    return first?.type === type ? first.result : undefined
  }

  #forgetOld(): void {
    const ageMs = this.#now() - this.#since
    if (ageMs < REMEMBERED_MS && this.#latest.size < MAX_LATEST) return
    this.#former = ageMs < 2 * REMEMBERED_MS ? this.#latest : new Map()
    this.#latest = new Map()
    this.#since += ageMs
  }
}
