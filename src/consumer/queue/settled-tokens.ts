import type { MonotonicClock } from '../../core/model.js'
import type { Word } from './queue-reader.js'
import type { TokenResult } from './queue-verbs.js'

/** Proxies and clients repeat requests by themselves. */
const REMEMBERED_MS = 60_000
/** Beyond so many, the oldest are forgotten sooner. One takes about 250 bytes. */
const MAX_REMEMBERED = 100_000
/** How often old ones are looked for, and how many are left where there were too many. A map is slow to find its first of many. */
const FORGET_EVERY_MS = 1_000
const LEFT_REMEMBERED = 90_000

export type SettleResult = Omit<TokenResult, 'token'>

interface FirstAnswer {
  readonly word: Word
  readonly answer: Promise<SettleResult>
  until: number
}

/** The first answers about settled messages, by token: the same word gets the same answer again, without asking Kafka. */
export class SettledTokens {
  readonly #now: MonotonicClock
  /** The oldest comes first. */
  readonly #byToken = new Map<string, FirstAnswer>()
  #forgotAt = Number.NEGATIVE_INFINITY

  constructor(now: MonotonicClock) {
    this.#now = now
  }

  /** @param settle called unless the word was given before; does not reject */
  answer(token: string, word: Word, settle: () => Promise<SettleResult>): Promise<SettleResult> {
    this.#forgetOld()
    const first = this.#byToken.get(token)
    if (first?.word === word) return first.answer
    // A renewal may be repeated. After another word, the token counts no more.
    if (word === 'renew' || first !== undefined) return settle()
    const one: FirstAnswer = { word, answer: settle(), until: Number.POSITIVE_INFINITY }
    this.#byToken.set(token, one)
    void one.answer.then(({ outcome }) => {
      one.until = this.#now() + REMEMBERED_MS
      const isSettled = outcome === 'done' || outcome === 'unknown'
      if (!isSettled && this.#byToken.get(token) === one) this.#byToken.delete(token)
    })
    return one.answer
  }

  #forgetOld(): void {
    const now = this.#now()
    const isFull = this.#byToken.size >= MAX_REMEMBERED
    if (!isFull && now - this.#forgotAt < FORGET_EVERY_MS) return
    this.#forgotAt = now
    const most = isFull ? LEFT_REMEMBERED : MAX_REMEMBERED
    for (const [token, { until }] of this.#byToken) {
      if (now < until && this.#byToken.size <= most) return
      this.#byToken.delete(token)
    }
  }
}
