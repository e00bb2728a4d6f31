import type { ConsumerGroups } from '../../consumer/group/consumer-groups.js'
import type { Timer } from '../../consumer/group/group-runtime.js'
import { MAX_LENT_BYTES } from '../../consumer/group/lending.js'
import {
  type AskedTake,
  type GroupTopic,
  keyOfTopic,
  type LendingTime,
  MAX_BYTES_OF_TAKE,
  MAX_MESSAGES_OF_TAKE,
  type OfferAnswer,
  type Offered,
  type Taken
} from '../calls/lending-calls.js'
import type { Loans } from './loans.js'
import type { WantOfOther, WantsOfOthers } from './wants-of-others.js'

/** A gateway that does not answer an offer in this time, or does not take what it was offered, is passed over. */
const ANSWER_MS = 50
/** A gateway that was passed over is offered nothing of the topic for this time, unless it wants messages again. */
const PASSED_OVER_MS = 100

const NOTHING: Taken = { messages: [] }

export interface LenderDeps<Id> {
  readonly time: LendingTime
  readonly groups: Pick<ConsumerGroups, 'wanted' | 'bytesToLend' | 'lend'>
  readonly wants: WantsOfOthers<Id>
  readonly loans: Loans<Id>
  /** Never rejects. */
  readonly offer: (to: Id, offered: Offered) => Promise<OfferAnswer>
  readonly onBug: (error: Error) => void
}

/** An offer that is not answered, or not taken. */
interface OpenOffer<Id> {
  readonly to: Id
  readonly taken: () => void
}

/**
 * Offers messages that no client of this gateway waits for: of each topic to one gateway at a time, in turn. Only the names are
 * offered; who wants the messages takes them.
 */
export class Lender<Id> {
  readonly #deps: LenderDeps<Id>
  /** The topics that are being offered. */
  readonly #offering = new Set<string>()
  readonly #offers = new Map<string, OpenOffer<Id>>()
  /** By topic: runs until gateways that were passed over have their turn again. */
  readonly #pauses = new Map<string, Timer>()
  #isStopped = false

  constructor(deps: LenderDeps<Id>) {
    this.#deps = deps
  }

  /** Another gateway wants messages of these topics. */
  wanted(from: Id, topics: readonly GroupTopic[]): void {
    if (this.#isStopped) return
    const { wants, groups, time } = this.#deps
    for (const topic of wants.told(from, topics, time.clock())) groups.wanted(...topic)
  }

  isWanted(key: string): boolean {
    return !this.#isStopped && this.#deps.wants.isWanted(key, this.#deps.time.clock())
  }

  /** A message is at hand. */
  atHand(topic: GroupTopic, key = keyOfTopic(topic)): void {
    if (this.#isStopped || this.#offering.has(key)) return
    this.#offering.add(key)
    this.#offerAll(topic, key).catch((error: Error) => this.#deps.onBug(error))
  }

  /** Lends what is at hand of a topic that the gateway wants, which may be nothing. */
  async take(from: Id, { id, topic, maxMessages, maxBytes, maxMessageBytes }: AskedTake): Promise<Taken> {
    const { groups, loans, wants, time } = this.#deps
    const key = keyOfTopic(topic)
    try {
      if (this.#isStopped || loans.isEnded(from, id) || !loans.mayLend(from)) return NOTHING
      if (!wants.has(from, key, time.clock())) return NOTHING
      const limits = {
        maxMessages: Math.max(1, Math.min(MAX_MESSAGES_OF_TAKE, maxMessages)),
        maxBytes: Math.min(MAX_BYTES_OF_TAKE, maxBytes),
        maxMessageBytes: Math.min(MAX_LENT_BYTES, maxMessageBytes)
      }
      const lent = await groups.lend(...topic, limits)
      if (this.#isStopped) lent?.release()
      if (lent === undefined || this.#isStopped || !loans.add(from, id, lent)) return NOTHING
      return { messages: lent.messages.map(message => ({ ...message, member: undefined })), topicIds: lent.topicIds }
    } finally {
      const offer = this.#offers.get(key)
      if (offer?.to === from) offer.taken()
    }
  }

  gone(id: Id): void {
    this.#deps.wants.gone(id)
    this.#deps.loans.gone(id)
  }

  close(): void {
    this.#deps.loans.close()
  }

  /** Stops lending. Messages that are lent out are settled as before. */
  stop(): void {
    this.#isStopped = true
    for (const pause of this.#pauses.values()) pause.cancel()
    this.#pauses.clear()
  }

  async #offerAll(topic: GroupTopic, key: string): Promise<void> {
    const { groups, wants, loans, time } = this.#deps
    try {
      while (!this.#isStopped) {
        const bytes = groups.bytesToLend(...topic)
        if (bytes === undefined) return
        const want = wants.next(key, time.clock())
        if (want === undefined) return this.#goOnLater(topic, key)
        const { until } = want
        const verdict = loans.mayLend(want.from) ? await this.#offer(want, { topic, bytes }) : 'later'
        const now = time.clock()
        // Calls have connections of their own: it may have wanted again before its answer is read that it does not.
        const isNewer = want.until > until
        if (verdict === 'none' && !isNewer) wants.end(want)
        else if (verdict !== 'none') wants.served(want, verdict === 'take' ? now : now + PASSED_OVER_MS)
      }
    } finally {
      this.#offering.delete(key)
    }
  }

  /** Gives gateways that were passed over their turn again, after a pause. */
  #goOnLater(topic: GroupTopic, key: string): void {
    const { wants, time } = this.#deps
    const now = time.clock()
    const at = wants.nextAt(key, now)
    if (at === undefined || this.#pauses.has(key)) return
    const goOn = (): void => {
      this.#pauses.delete(key)
      this.atHand(topic, key)
    }
    this.#pauses.set(key, time.after(at - now, goOn))
  }

  /** @returns `take` when the message was taken; `later`: there was no answer, or it was not taken */
  #offer(want: WantOfOther<Id>, offered: Offered): Promise<OfferAnswer> {
    const { time, offer } = this.#deps
    const { from: to, key } = want
    return new Promise(resolve => {
      const end = (verdict: OfferAnswer): void => {
        timer.cancel()
        if (this.#offers.get(key) === open) this.#offers.delete(key)
        resolve(verdict)
      }
      const open = { to, taken: () => end('take') }
      let timer = time.after(ANSWER_MS, () => end('later'))
      this.#offers.set(key, open)
      offer(to, offered).then(
        verdict => {
          if (this.#offers.get(key) !== open) return
          timer.cancel()
          if (verdict === 'take') timer = time.after(ANSWER_MS, () => end('later'))
          else end(verdict)
        },
        () => end('later')
      )
    })
  }
}
