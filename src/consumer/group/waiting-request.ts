import type { Requester } from '../../core/actor/actor.js'
import type { Deadlines, Due } from '../../router/requests/deadlines.js'
import { ownFailure } from '../../router/requests/failures.js'
import type { AwayBecause, ConsumeManyResult, MessageLimits } from './consume-result.js'

/**
 * The first requests of a group are held until the start of reading is fixed, at most for this time beyond their time
 * limit. They are held because an answer promises that the group gets every later record. A leader needs at most 3 s to
 * decide where reading begins.
 */
export const MAX_HOLD_FOR_START_MS = 5_000
/** A request waits so much longer than its time limit for a message that may be on its way from another gateway. */
const MAX_HOLD_FOR_TAKE_MS = 500

const NOT_BEGUN = ownFailure('timedOut', 'the group has not begun to read the topic yet: joining it takes long', true)

/** While it lasts, the request is not answered that there is no message. */
interface Hold {
  /** The time limit of the request is over. */
  isOver: boolean
}

/** Lasts until all topics of the request have begun. */
interface HoldForStart extends Hold {
  /** The topics that it asks for and that have not begun. */
  readonly holders: Set<object>
}

/** Lasts until no message is on its way from another gateway. */
interface HoldForTake extends Hold {
  /** A message may be on its way. */
  hasTake: boolean
  /** No message of this process answers the request. */
  isForLentOnly: boolean
}

/**
 * The request of a client for one or several messages of a topic. It gets exactly one answer. At its time limit it is answered
 * that there is no message, unless one of two holds lasts, of which each ends by itself:
 *
 *   start:  waitForStart ──▶ waits ── time limit ──▶ is over ── 5 s ──▶ fails: the group has not begun
 *                              └── the last one ends ───┴──▶ no hold; due at its time limit, or now
 *
 *   take:   holdForTake ──▶ lent only ── allowOwn ──▶ any ── endTake, then endHoldForTake ──▶ no hold; due at its time limit, or now
 *                             └────────────────────────┴── time limit ──▶ is over ── 500 ms ──▶ due, whatever is on its way
 */
export class WaitingRequest implements Due {
  deadlineAt: number
  readonly limits: MessageLimits
  /** The request asks for the topics that match a pattern, and ignores those that it may not read. */
  readonly isOfPattern: boolean
  readonly #deadlines: Deadlines
  readonly #requester: Requester<ConsumeManyResult>
  readonly #awayBecause: AwayBecause
  next: Due | undefined
  previous: Due | undefined
  settled = false
  /** Called when it is answered or cancelled. */
  onSettled: (() => void) | undefined
  #start: HoldForStart | undefined
  #take: HoldForTake | undefined

  constructor(
    deadlines: Deadlines,
    deadlineAt: number,
    requester: Requester<ConsumeManyResult>,
    limits: MessageLimits,
    awayBecause: AwayBecause = () => undefined,
    isOfPattern = false
  ) {
    this.#deadlines = deadlines
    this.deadlineAt = deadlineAt
    this.isOfPattern = isOfPattern
    this.#awayBecause = awayBecause
    this.limits = limits
    this.#requester = requester
  }

  /** No message is at hand: its time limit counts from now on. */
  wait(): void {
    this.#deadlines.add(this)
  }

  /** Answers the request. Returns false, and does nothing, when it has been answered before. */
  answer(result: ConsumeManyResult): boolean {
    if (this.settled) return false
    this.cancel()
    this.#requester.reply(result)
    return true
  }

  /** Cancels the request of a client that has gone away. It gets no answer. */
  cancel(): void {
    this.settled = true
    this.#deadlines.remove(this)
    this.onSettled?.()
  }

  onDue(): void {
    if (this.#take?.isOver === false) {
      this.#waitOn(this.#take, MAX_HOLD_FOR_TAKE_MS)
      return
    }
    const reason = this.#awayBecause()?.message
    if (this.#start === undefined)
      this.answer(reason === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason })
    else if (reason !== undefined) this.answer(ownFailure('brokerUnreachable', reason, true))
    else if (this.#start.isOver) this.answer(NOT_BEGUN)
    else this.#waitOn(this.#start, MAX_HOLD_FOR_START_MS)
  }

  #waitOn(hold: Hold, graceMs: number): void {
    hold.isOver = true
    this.deadlineAt += graceMs
    this.#deadlines.add(this)
  }

  /**
   * Holds the request: it is not answered that there is no message before all holders have ended their hold. It fails when it
   * is held for longer than {@link MAX_HOLD_FOR_START_MS} beyond its time limit, or when its time limit ends while no broker can be
   * reached.
   */
  waitForStart(holder: object): void {
    this.#start ??= { holders: new Set(), isOver: false }
    this.#start.holders.add(holder)
  }

  endWaitForStart(holder: object): void {
    if (!this.#start?.holders.delete(holder) || this.#start.holders.size > 0) return
    const { isOver } = this.#start
    this.#start = undefined
    if (!isOver || this.settled) return
    this.#deadlines.remove(this)
    this.deadlineAt -= MAX_HOLD_FOR_START_MS
    this.#deadlines.add(this)
  }

  /** True while no message of this process may answer it. */
  get waitsForLentOnly(): boolean {
    return this.#take?.isForLentOnly === true
  }

  /**
   * Holds the request, because a message for it may be on its way from another gateway. Until {@link endHoldForTake}, and at most
   * 500 ms longer than its time limit, it is not answered that there is none. Until {@link allowOwn}, no message of this process
   * answers it, unless its time limit is over: a client that asks again at another gateway would get a later message first.
   */
  holdForTake(): void {
    const isOver = this.#take?.isOver ?? false
    this.#take = { hasTake: true, isForLentOnly: !isOver, isOver }
  }

  /** The message from another gateway takes long. */
  allowOwn(): void {
    if (this.#take !== undefined) this.#take.isForLentOnly = false
  }

  /** No message is on its way any more. It is due after {@link endHoldForTake} only: messages of this process come first. */
  endTake(): void {
    if (this.#take === undefined) return
    this.#take.hasTake = false
    this.#take.isForLentOnly = false
  }

  /** Makes the request due if its time limit is over. Does nothing if another message may be on its way. */
  endHoldForTake(): void {
    if (this.#take === undefined || this.#take.hasTake || this.settled) return
    const { isOver } = this.#take
    this.#take = undefined
    if (!isOver) return
    this.#deadlines.remove(this)
    this.onDue()
  }
}
