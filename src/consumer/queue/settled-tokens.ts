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

export type TellResult = (result: SettleResult) => void

/** What one word about a message has led to. */
class FirstAnswer {
  readonly word: Word
  /** `undefined`: Kafka was asked, and has not answered. */
  result: SettleResult | undefined
  until = Number.POSITIVE_INFINITY
  /** Those who have said it again meanwhile. */
  waiting: TellResult[] | undefined

  constructor(word: Word) {
    this.word = word
  }
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

  /** @param settle called unless the word was given before */
  answer(token: string, word: Word, settle: (tell: TellResult) => void, tell: TellResult): void {
    this.#forgetOld()
    const first = this.#byToken.get(token)
    // A renewal may be repeated. After another word, the token counts no more.
    if (first?.word !== word && (word === 'renew' || first !== undefined)) settle(tell)
    else if (first === undefined) this.#first(token, new FirstAnswer(word), settle, tell)
    else if (first.result !== undefined) tell(first.result)
    else (first.waiting ??= []).push(tell)
  }

  #first(token: string, one: FirstAnswer, settle: (tell: TellResult) => void, tell: TellResult): void {
    this.#byToken.set(token, one)
    settle(result => {
      one.result = result
      one.until = this.#now() + REMEMBERED_MS
      const isSettled = result.outcome === 'done' || result.outcome === 'unknown'
      if (!isSettled && this.#byToken.get(token) === one) this.#byToken.delete(token)
      tell(result)
      for (const other of one.waiting ?? []) other(result)
    })
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
