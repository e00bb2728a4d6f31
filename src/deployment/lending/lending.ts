import type { ConsumerGroups } from '../../consumer/group/consumer-groups.js'
import type { Timer } from '../../consumer/group/group-runtime.js'
import type { GroupLending, TopicLending } from '../../consumer/group/lending.js'
import { memoryOfRecords, ownCopyOf } from '../../core/bytes.js'
import { getOrAdd } from '../../core/maps.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { AcquiredMessage } from '../../verbs/verbs.js'
import { type BatchedCalls, batchedCalls } from '../calls/batched-calls.js'
import { ask, type Call, inCluster, serve } from '../calls/call.js'
import {
  type AskedTake,
  type GroupTopic,
  keyOfTopic,
  LENDS,
  type LendingTime,
  MAX_OFFERS_OF_CALL,
  MAX_TAKES_OF_CALL,
  mayTravel,
  type OfferAnswer,
  type Offered,
  type Taken,
  topicsIn
} from '../calls/lending-calls.js'
import type { Peers } from '../calls/peers.js'
import { CALLS } from '../calls/table.js'
import { Borrower } from './borrower.js'
import { Lender } from './lender.js'
import { Loans } from './loans.js'
import { Settlements } from './settlements.js'
import { Wants } from './wants.js'
import { WantsOfOthers } from './wants-of-others.js'

const { want, offer, take, settle } = CALLS.lending

/** Limits of the calls to one gateway, and of what waits for one. */
const LIMITS = { maxCalls: 4, maxWaiting: 20_000 }
/** Limit of the messages of one answer to takes, besides the largest message. */
const MAX_BYTES_OF_ANSWER = 16 * 1_048_576
const SWEEP_EVERY_MS = 2_500

/** Calls to one gateway. */
interface CallsToOne {
  readonly offer: BatchedCalls<Offered, OfferAnswer>
  /** `undefined`: there was no answer. */
  readonly take: BatchedCalls<AskedTake, Taken | undefined>
}

export interface LendingDeps<Id> {
  readonly cluster: string
  readonly groups: ConsumerGroups
  readonly peers: LendingPeers<Id>
  readonly records: RecordBudget
  readonly settings: { readonly ackTimeoutMs: number; readonly loanTimeoutMs: number }
  readonly time: LendingTime
  readonly metrics: MetricsLogger
  readonly log: Logger
}

/** A client of this gateway gets a message that another one reads. */
type OnGiven<Id> = (by: Id, message: AcquiredMessage) => void

/** The other gateways, the ones among them that lend, and the features that this one says it serves. */
export interface LendingPeers<Id> extends Peers<Id> {
  withFeature(feature: string): readonly Id[]
  announce(feature: string, isSo: boolean): void
}

/**
 * The messages of the groups of one cluster that go to clients of other gateways. Demand is told to all, a message is offered to
 * one, and who wants it takes it:
 *
 *   A: a request waits ─ want ─▶ B: is read, and a message is at hand ─ offer ─▶ A ─ take ─▶ B: lends ─▶ A: answers ─ settle ─▶ B
 */
export class Lending<Id> implements GroupLending {
  readonly #deps: LendingDeps<Id>
  readonly #wants: Wants<Id>
  readonly #wantsOfOthers = new WantsOfOthers<Id>()
  readonly #settlements: Settlements<Id>
  readonly #borrower: Borrower<Id>
  readonly #loans: Loans<Id>
  readonly #lender: Lender<Id>
  readonly #calls = new Map<Id, CallsToOne>()
  /** Wants as they are sent: many are long. */
  readonly #encodedWants = new WeakMap<readonly GroupTopic[], Buffer>()
  #sweep: Timer | undefined
  #onGiven: OnGiven<Id> = () => undefined

  constructor(deps: LendingDeps<Id>) {
    this.#deps = deps
    const { groups, peers, records, time } = deps
    const { ackTimeoutMs } = deps.settings
    // The time for the acknowledgement runs on the way. When it is over, a message without retries counts as acknowledged.
    const settings = { ackTimeoutMs, loanTimeoutMs: Math.min(deps.settings.loanTimeoutMs, ackTimeoutMs / 2) }
    this.#wants = new Wants({
      time,
      others: () => peers.withFeature(LENDS),
      isWaiting: topic => groups.waitingFor(...topic).length > 0,
      tell: (to, topics) => this.#ask(to, want, this.#encoded(topics))
    })
    this.#settlements = new Settlements({
      ...settings,
      time,
      isThere: id => peers.others.includes(id),
      call: (to, settled) => this.#ask(to, settle, settled)
    })
    this.#borrower = new Borrower({
      ...settings,
      time,
      groups,
      records,
      wants: this.#wants,
      settlements: this.#settlements,
      take: (from, asked) => this.#callsTo(from).take(asked),
      onGiven: (by, message) => this.#onGiven(by, message)
    })
    this.#loans = new Loans({
      ...settings,
      time,
      records,
      onEnded: (result, messages) => this.#ended(result, messages)
    })
    this.#lender = new Lender({
      time,
      groups,
      wants: this.#wantsOfOthers,
      loans: this.#loans,
      offer: (to, offered) => this.#callsTo(to).offer(offered),
      onBug: error => deps.log.error({ err: error }, 'lending messages to other gateways met a bug')
    })
    this.#serve()
    groups.lending = this
    peers.announce(LENDS, true)
  }

  /** Calls `listener` with each message before a client gets it. */
  whenGiven(listener: OnGiven<Id>): void {
    this.#onGiven = listener
  }

  of(groupId: string, topic: string): TopicLending | undefined {
    const groupTopic: GroupTopic = [groupId, topic]
    if (!mayTravel(groupTopic)) return undefined
    const key = keyOfTopic(groupTopic)
    const [lender, wants] = [this.#lender, this.#wants]
    return {
      get isWanted() {
        return lender.isWanted(key)
      },
      waits: () => wants.note(groupTopic, key),
      atHand: () => lender.atHand(groupTopic, key)
    }
  }

  /** Numbers of kept objects, for tests: at rest, all are zero. */
  get counts() {
    return {
      wants: this.#wants.size,
      wantsOfOthers: this.#wantsOfOthers.size,
      loans: this.#loans.size,
      takes: this.#borrower.takes,
      settlements: this.#settlements.size
    }
  }

  /** Lenders that have not answered for long what became of their messages. */
  get stuck(): number {
    return this.#settlements.stuck
  }

  /** Stops lending and borrowing. Messages that are lent out are settled as before. */
  stop(): void {
    this.#deps.peers.announce(LENDS, false)
    this.#lender.stop()
    this.#borrower.stop()
    this.#wants.stop()
    this.#sweep?.cancel()
  }

  /** Called when no other gateway can call this one any more. */
  close(): void {
    this.#lender.close()
    this.#settlements.close()
  }

  /** Resolves when all lenders know what became of their messages. */
  settled(): Promise<void> {
    return new Promise(resolve => this.#settlements.whenEmpty(resolve))
  }

  #ask<Question, Answer>(to: Id, call: Call<Question, Answer>, question: Question): Promise<Answer> {
    const { peers, cluster } = this.#deps
    return ask(peers, to, inCluster(call, cluster), question)
  }

  #encoded(topics: readonly GroupTopic[]): Buffer {
    let encoded = this.#encodedWants.get(topics)
    if (encoded === undefined) this.#encodedWants.set(topics, (encoded = Buffer.from(JSON.stringify(topics))))
    return encoded
  }

  #serve(): void {
    const { peers, cluster } = this.#deps
    serve(peers, inCluster(want, cluster), (encoded, { from }) => {
      this.#lender.wanted(from, topicsIn(encoded))
      this.#sweepLater()
      this.#gauge()
    })
    serve(peers, inCluster(offer, cluster), (offers, { from }) =>
      offers.map(offered => this.#borrower.offered(from, offered))
    )
    serve(peers, inCluster(take, cluster), async (asked, { from }) => {
      const taken = await this.#takeAll(from, asked)
      this.#gauge()
      return taken
    })
    serve(peers, inCluster(settle, cluster), (settled, { from }) => {
      this.#loans.settle(from, settled)
      this.#gauge()
    })
    peers.onGone(id => {
      this.#wants.gone(id)
      this.#calls.delete(id)
      this.#lender.gone(id)
      this.#gauge()
    })
  }

  /** Forgets what has ended. */
  #sweepLater(): void {
    const { time } = this.#deps
    this.#sweep ??= time.after(SWEEP_EVERY_MS, () => {
      this.#sweep = undefined
      this.#wantsOfOthers.dropOld(time.clock())
      this.#gauge()
      if (this.#wantsOfOthers.size > 0) this.#sweepLater()
    })
  }

  /** One after another: an answer has only so many bytes. */
  async #takeAll(from: Id, asked: readonly AskedTake[]): Promise<readonly Taken[]> {
    const taken: Taken[] = []
    let bytes = 0
    for (const one of asked) {
      taken.push(bytes < MAX_BYTES_OF_ANSWER ? await this.#lender.take(from, one) : { messages: [] })
      bytes += memoryOfRecords(taken.at(-1)!.messages)
    }
    return taken
  }

  #callsTo(id: Id): CallsToOne {
    return getOrAdd(this.#calls, id, () => ({
      offer: batchedCalls<Offered, OfferAnswer>({
        ...LIMITS,
        maxOfCall: MAX_OFFERS_OF_CALL,
        name: 'calls with offers',
        call: offers => this.#ask(id, offer, offers),
        failed: () => 'later',
        full: 'later'
      }),
      take: batchedCalls<AskedTake, Taken | undefined>({
        ...LIMITS,
        maxOfCall: MAX_TAKES_OF_CALL,
        name: 'calls that take messages',
        call: asked => this.#take(id, asked),
        failed: () => undefined,
        full: undefined
      })
    }))
  }

  async #take(from: Id, asked: readonly AskedTake[]): Promise<readonly Taken[]> {
    const taken = await this.#ask(from, take, asked)
    if (taken.length === 1) return taken
    // An answer that leaves slowly must not keep the messages of other answers in memory.
    return taken.map(({ messages, topicIds }) => ({ messages: messages.map(ownCopyOf), topicIds }))
  }

  #ended(result: string, messages: number): void {
    this.#deps.metrics.count('groups', 'lent_messages', { result }, messages)
    this.#gauge()
  }

  #gauge(): void {
    const { metrics } = this.#deps
    metrics.gauge?.('groups', 'loans', {}, this.#loans.size)
    metrics.gauge?.('groups', 'wants', {}, this.#wantsOfOthers.size)
  }
}
