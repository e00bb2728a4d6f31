import type { ConsumedMessages } from '../../consumer/group/consume-result.js'
import type { ConsumerGroups } from '../../consumer/group/consumer-groups.js'
import type { Timer } from '../../consumer/group/group-runtime.js'
import { MAX_LENT_BYTES } from '../../consumer/group/lending.js'
import type { WaitingRequest } from '../../consumer/group/waiting-request.js'
import { memoryOfRecords } from '../../core/bytes.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { AcquiredMessage } from '../../verbs/verbs.js'
import {
  type AskedTake,
  type GroupTopic,
  keyOfTopic,
  type LendingTime,
  MAX_BYTES_OF_TAKE,
  MAX_MESSAGES_OF_TAKE,
  type OfferAnswer,
  type Offered,
  TAKE_MS,
  type Taken
} from '../calls/lending-calls.js'
import type { Settlements } from './settlements.js'
import type { Wants } from './wants.js'

/** Takes that may be under way to one gateway. */
const MAX_TAKES = 256
/** After this time without an answer, the request takes messages of this gateway again, or of another one. */
const LENT_ONLY_MS = 500
/**
 * A message that comes later after its take than the lender waits for its arrival, less this time, is not given out: a call that tells
 * of it may be lost, which is noticed after 2 s, and is then repeated.
 */
const MARGIN_MS = 2_300
/** Messages that are fetched, or were borrowed and have not left, have at most this share of the bytes of all answers. */
const SHARE_OF_RECORDS = 0.5

export interface BorrowerDeps<Id> {
  readonly time: LendingTime
  readonly groups: Pick<ConsumerGroups, 'waitingFor' | 'holdForTake' | 'allowOwn' | 'endTake' | 'answer'>
  readonly records: RecordBudget
  readonly wants: Pick<Wants<Id>, 'note' | 'forgotten'>
  readonly settlements: Pick<Settlements<Id>, 'note'>
  /** See {@link Loans}. */
  readonly loanTimeoutMs: number
  /** `undefined`: there was no answer. Never rejects. */
  readonly take: (from: Id, asked: AskedTake) => Promise<Taken | undefined>
  /** A client has got a message that this gateway reads: acknowledgements are for it. */
  readonly onGiven: (from: Id, message: AcquiredMessage) => void
}

interface Take<Id> {
  readonly id: number
  readonly from: Id
  readonly topic: GroupTopic
  readonly request: WaitingRequest
  readonly sentAt: number
  /** Limit of the bytes of its messages. */
  readonly maxBytes: number
  timer: Timer | undefined
}

/**
 * Takes messages that other gateways offer, for requests that wait: one take for each at a time, for the oldest first. If a take
 * is given up and answered later, the lender has been told already that its messages come back.
 */
export class Borrower<Id> {
  readonly #deps: BorrowerDeps<Id>
  /** The takes under way, by the request that each is for. */
  readonly #takes = new Map<WaitingRequest, Take<Id>>()
  readonly #bytes = new HeldAmount('bytes of borrowed messages')
  #lastId = 0
  #isStopped = false

  constructor(deps: BorrowerDeps<Id>) {
    this.#deps = deps
  }

  get takes(): number {
    return this.#takes.size
  }

  /** Answers an offer, and takes the message if a request waits for it. */
  offered(from: Id, { topic, bytes }: Offered): OfferAnswer {
    const { groups, wants } = this.#deps
    const waiting = this.#isStopped ? [] : groups.waitingFor(...topic)
    if (waiting.length === 0) {
      wants.forgotten(from, keyOfTopic(topic))
      return 'none'
    }
    if (!this.#mayTakeFrom(from)) return 'later'
    const request = waiting.find(one => !this.#takes.has(one)) ?? this.#ofSlowTake(from, waiting)
    if (request === undefined) return 'later'
    void this.#take(from, topic, request, Math.min(MAX_LENT_BYTES, Math.max(MAX_BYTES_OF_TAKE, bytes)))
    return 'take'
  }

  stop(): void {
    this.#isStopped = true
    for (const take of [...this.#takes.values()]) this.#giveUp(take)
  }

  #mayTakeFrom(from: Id): boolean {
    const { records } = this.#deps
    let toOne = 0
    let onTheirWay = 0
    for (const take of this.#takes.values()) {
      if (take.from === from) toOne++
      onTheirWay += take.maxBytes
    }
    return toOne < MAX_TAKES && onTheirWay + this.#bytes.value < records.maxBytes * SHARE_OF_RECORDS
  }

  /** The oldest request whose take another gateway has not answered for long. Its take is given up. */
  #ofSlowTake(from: Id, waiting: readonly WaitingRequest[]): WaitingRequest | undefined {
    const now = this.#deps.time.clock()
    for (const request of waiting) {
      const take = this.#takes.get(request)
      if (take === undefined || take.from === from || now - take.sentAt < LENT_ONLY_MS) continue
      this.#deps.settlements.note(take.from, take.id, 'returned')
      this.#forget(take)
      return request
    }
    return undefined
  }

  async #take(from: Id, topic: GroupTopic, request: WaitingRequest, maxMessageBytes: number): Promise<void> {
    const { time, groups, take: call } = this.#deps
    const maxMessages = Math.min(MAX_MESSAGES_OF_TAKE, request.limits.maxMessages)
    const maxBytes = Math.min(MAX_BYTES_OF_TAKE, request.limits.maxBytes)
    // The last message may exceed the limit.
    const mostBytes = maxBytes + maxMessageBytes
    const take: Take<Id> = {
      id: ++this.#lastId,
      from,
      topic,
      request,
      sentAt: time.clock(),
      maxBytes: mostBytes,
      timer: undefined
    }
    this.#takes.set(request, take)
    groups.holdForTake(request)
    take.timer = time.after(LENT_ONLY_MS, () => {
      groups.allowOwn(...topic, request)
      take.timer = time.after(TAKE_MS - LENT_ONLY_MS, () => this.#giveUp(take))
    })
    const taken = await call(from, { id: take.id, topic, maxMessages, maxBytes, maxMessageBytes })
    if (this.#takes.get(request) !== take) return
    if (taken === undefined) this.#giveUp(take)
    else {
      if (taken.messages.length > 0) this.#give(take, taken)
      this.#end(take)
    }
  }

  /** Gives up a take, and returns what it may still bring. */
  #giveUp(take: Take<Id>): void {
    this.#deps.settlements.note(take.from, take.id, 'returned')
    this.#end(take)
  }

  #forget(take: Take<Id>): void {
    take.timer?.cancel()
    this.#takes.delete(take.request)
  }

  #end(take: Take<Id>): void {
    const { topic, request } = take
    this.#forget(take)
    this.#deps.groups.endTake(...topic, request)
    // Requests of the topic that still wait want more messages.
    if (this.#deps.groups.waitingFor(...topic).length > 0) this.#deps.wants.note(topic)
  }

  #give(take: Take<Id>, { messages, topicIds }: Taken): void {
    const { time, groups, settlements, loanTimeoutMs, onGiven } = this.#deps
    const { id, from, topic } = take
    const isLate = time.clock() - take.sentAt > loanTimeoutMs - Math.min(MARGIN_MS, loanTimeoutMs / 2)
    const request = isLate ? undefined : this.#requestFor(take, messages)
    if (request === undefined) {
      settlements.note(from, id, 'returned')
      return
    }
    settlements.note(from, id, 'had')
    for (const message of messages) onGiven(from, message)
    groups.answer(...topic, request, this.#borrowed(take, messages, topicIds))
  }

  /** The request that the take was for, or, where that has ended, the first one that takes them all. */
  #requestFor({ request, topic }: Take<Id>, messages: readonly AcquiredMessage[]): WaitingRequest | undefined {
    if (!request.settled) return request
    const bytes = memoryOfRecords(messages)
    const takesAll = (one: WaitingRequest): boolean => {
      const { maxMessages, maxBytes } = one.limits
      return !this.#takes.has(one) && messages.length <= maxMessages && (messages.length === 1 || bytes <= maxBytes)
    }
    return this.#deps.groups.waitingFor(...topic).find(takesAll)
  }

  #borrowed(
    { id, from }: Take<Id>,
    messages: readonly AcquiredMessage[],
    topicIds: Taken['topicIds']
  ): ConsumedMessages {
    const letGo = this.#bytes.take(memoryOfRecords(messages))
    let isSettled = false
    const settle = (state: 'acknowledged' | 'delivered' | 'returned'): void => {
      if (isSettled) return
      isSettled = true
      letGo()
      this.#deps.settlements.note(from, id, state)
    }
    return {
      messages,
      topicIds,
      ack: () => settle('acknowledged'),
      release: () => settle('returned'),
      delivered: () => settle('delivered')
    }
  }
}
