import type { ActorRef } from '../../core/actor/actor.js'
import type { MonotonicClock, TopicPartition } from '../../core/model.js'
import { codesOf } from '../../kafka/error-codes.js'
import type { GroupMembership, RouterMessage, TransactionalProducer } from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'

export interface CallsDeps {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
}

/** An offset of a group that becomes its position when the transaction commits. */
export interface TransactionOffset extends TopicPartition {
  /** The next one to read. */
  readonly offset: number
  /** -1: unknown. */
  readonly leaderEpoch: number
  readonly metadata: string
}

interface Answer {
  readonly type: string
  readonly errorCode?: number | undefined
  readonly code?: string
  readonly retriable?: boolean
}
type NotAnswered = { readonly type: 'timedOut' }
const NOT_ANSWERED: NotAnswered = { type: 'timedOut' }

/** Another producer has the transactional id, or the coordinator has ended the transaction because it took too long. */
const fencing = codesOf('INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'INVALID_PRODUCER_ID_MAPPING')
export const isFencing = ({ errorCode }: Answer): boolean => errorCode !== undefined && fencing.has(errorCode)

/** The markers of the last transaction are still being written. */
const busy = codesOf('CONCURRENT_TRANSACTIONS')
/** A topic that was just created is not known everywhere. */
const busyOrNew = codesOf('CONCURRENT_TRANSACTIONS', 'UNKNOWN_TOPIC_OR_PARTITION')
const busyOrRebalancing = codesOf('CONCURRENT_TRANSACTIONS', 'REBALANCE_IN_PROGRESS')

/** Markers are mostly written after the first pause; each one is twice as long as the one before. */
const FIRST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 500

/**
 * The calls of one transactional id, one after another. Each is asked again until it is answered or its time is over; all of
 * them may be repeated within one transaction.
 */
export class TransactionalCalls {
  readonly #deps: CallsDeps
  readonly #transactionalId: string
  /** How many attempts had no answer, and may still reach a broker. */
  unanswered = 0
  #last: Promise<unknown> = Promise.resolve()
  #interruptions = 0

  constructor(deps: CallsDeps, transactionalId: string) {
    this.#deps = deps
    this.#transactionalId = transactionalId
  }

  /**
   * Calls that were begun before are not sent any more: what they add would come after the end of their transaction. One that is on
   * its way is waited for by the next call.
   */
  interrupt(): void {
    this.#interruptions++
  }

  init(transactionTimeoutMs: number, current: TransactionalProducer | undefined, until: number) {
    const request = { type: 'initTransactionalId', transactionTimeoutMs, current, ...this.#id } as const
    return this.#ask(timeoutMs => askRouter(this.#deps.router, { ...request, timeoutMs }), until)
  }

  addPartitions(producer: TransactionalProducer, partitions: readonly TopicPartition[], until: number) {
    const request = { type: 'addPartitionsToTxn', producer, partitions, ...this.#id } as const
    return this.#ask(timeoutMs => askRouter(this.#deps.router, { ...request, timeoutMs }), until, busyOrNew)
  }

  addOffsets(producer: TransactionalProducer, group: string, until: number) {
    const request = { type: 'addOffsetsToTxn', producer, group, ...this.#id } as const
    return this.#ask(timeoutMs => askRouter(this.#deps.router, { ...request, timeoutMs }), until)
  }

  commitOffsets(
    producer: TransactionalProducer,
    groupId: string,
    member: GroupMembership,
    offsets: readonly TransactionOffset[],
    until: number
  ) {
    const request = { type: 'txnOffsetCommit', producer, groupId, member, offsets, ...this.#id } as const
    return this.#ask(timeoutMs => askRouter(this.#deps.router, { ...request, timeoutMs }), until, busyOrRebalancing)
  }

  end(producer: TransactionalProducer, isCommit: boolean, until: number) {
    const request = { type: 'endTxn', producer, isCommit, ...this.#id } as const
    return this.#ask(timeoutMs => askRouter(this.#deps.router, { ...request, timeoutMs }), until)
  }

  get #id() {
    return { transactionalId: this.#transactionalId }
  }

  #ask<Result extends Answer>(
    send: (timeoutMs: number) => Promise<Result>,
    until: number,
    again: ReadonlySet<number> = busy
  ): Promise<Result | NotAnswered> {
    const interruptions = this.#interruptions
    const asked = this.#last.then(() => this.#askUntil(send, until, again, () => this.#interruptions === interruptions))
    this.#last = asked.catch(() => undefined)
    return asked
  }

  async #askUntil<Result extends Answer>(
    send: (timeoutMs: number) => Promise<Result>,
    until: number,
    again: ReadonlySet<number>,
    isWanted: () => boolean
  ): Promise<Result | NotAnswered> {
    const { clock } = this.#deps
    for (let pauseMs = FIRST_PAUSE_MS; isWanted(); pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const result = await send(Math.max(1, Math.ceil(until - clock())))
      if (result.type === 'timedOut') this.unanswered++
      else if (!isAskedAgain(result, again)) return result
      if (clock() + pauseMs >= until) break
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
    return NOT_ANSWERED
  }
}

function isAskedAgain({ type, errorCode, code, retriable }: Answer, again: ReadonlySet<number>): boolean {
  if (type !== 'failed') return false
  // Without a code of Kafka no byte was sent.
  return errorCode === undefined ? retriable === true && code !== 'shuttingDown' : again.has(errorCode)
}
