import type { ActorRef } from '../../core/actor/actor.js'
import { errorOfFailure } from '../../core/error-of-failure.js'
import type { CastellanError, ErrorCode } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import { Waiters } from '../../core/waiters.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { RequestOf, ResultOf, RouterMessage } from '../../router/messages/operations.js'
import type { TimedOut } from '../../router/messages/request.js'
import { askRouter, type Unasked } from '../../router/routing/ask-router.js'

export interface CallsDeps {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
}

type TransactionalKind = 'initTransactionalId' | 'addPartitionsToTxn' | 'addOffsetsToTxn' | 'endTxn' | 'txnOffsetCommit'
type TransactionalCall<Of extends TransactionalKind> = Omit<
  RequestOf<Of>,
  'transactionalId' | 'timeoutMs' | 'requester'
> & { readonly type: Of }

/** A call that was refused, or not answered in time. */
export interface FailedCall {
  readonly type: string
  readonly errorCode?: number | undefined
  readonly code?: ErrorCode
  readonly message?: string
  /** Why it was not answered in time. */
  readonly reason?: string
  readonly retriable?: boolean
}

/** The error that the answer to a call tells of. */
export const causeOf = ({
  type,
  errorCode,
  code = 'kafka',
  message = type,
  retriable = false
}: FailedCall): CastellanError => errorOfFailure({ errorCode, code, message, retriable })

/** The markers of the last transaction are being written, a topic is not known everywhere yet, or a group is rebalancing. */
const passing = codesOf('CONCURRENT_TRANSACTIONS')
const passingForPartitions = codesOf('CONCURRENT_TRANSACTIONS', 'UNKNOWN_TOPIC_OR_PARTITION')
const passingForOffsets = codesOf('CONCURRENT_TRANSACTIONS', 'REBALANCE_IN_PROGRESS')
const isPassing = (kind: TransactionalKind, errorCode: number): boolean => {
  if (kind === 'addPartitionsToTxn') return passingForPartitions.has(errorCode)
  return (kind === 'txnOffsetCommit' ? passingForOffsets : passing).has(errorCode)
}

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
  /** How many attempts had no answer, and may still reach a broker; and ends that a coordinator may be carrying out. */
  unanswered = 0
  #last: Promise<unknown> = Promise.resolve()
  /** Calls that have not ended. */
  #open = 0
  #interruptions = 0
  readonly #pauses = new Waiters()

  constructor(deps: CallsDeps, transactionalId: string) {
    this.#deps = deps
    this.#transactionalId = transactionalId
  }

  /**
   * Stops calls that were begun before from being sent: what they add would come after the end of their transaction.
   * The next call waits for one that is in flight.
   */
  interrupt(): void {
    this.#interruptions++
    this.#pauses.wake()
  }

  /** @param until when its time is over; it is then answered `timedOut` */
  ask<Of extends TransactionalKind>(call: TransactionalCall<Of>, until: number): Promise<ResultOf<Of>> {
    const interruptions = this.#interruptions
    const isWanted = (): boolean => this.#interruptions === interruptions
    const askNow = (): Promise<ResultOf<Of>> => this.#askUntil(call, until, isWanted)
    const asked = this.#open++ === 0 ? askNow() : this.#last.then(askNow)
    const over = (): void => void this.#open--
    this.#last = asked.then(over, over)
    return asked
  }

  async #askUntil<Of extends TransactionalKind>(
    call: TransactionalCall<Of>,
    until: number,
    isWanted: () => boolean
  ): Promise<ResultOf<Of>> {
    const { clock, router } = this.#deps
    const transactionalId = this.#transactionalId
    let last = { type: 'timedOut' } as ResultOf<Of>
    for (let pauseMs = FIRST_PAUSE_MS; isWanted(); pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const timeoutMs = Math.max(1, Math.ceil(until - clock()))
      const request: object = { transactionalId, timeoutMs, ...call }
      last = await askRouter<Of>(router, request as Unasked<Of> & { readonly type: Of })
      if (mayArrive(last) || mayBeDone(call.type, last)) this.unanswered++
      if (last.type !== 'timedOut' && !isAskedAgain(call.type, last)) return last
      if (clock() + pauseMs >= until) break
      await this.#pauses.wait(pauseMs)
    }
    const { type, message } = last as FailedCall
    const over: TimedOut = message === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason: message }
    return type === 'timedOut' ? last : (over as ResultOf<Of>)
  }
}

/** A Router that stops does not wait for the answers to what it has sent. */
const mayArrive = ({ type, code }: FailedCall): boolean => type === 'timedOut' || code === 'shuttingDown'

/** A coordinator that has decided on an end answers so until all markers are written. */
const mayBeDone = (kind: TransactionalKind, { errorCode }: FailedCall): boolean =>
  kind === 'endTxn' && errorCode === errorCodes.CONCURRENT_TRANSACTIONS

function isAskedAgain(kind: TransactionalKind, { type, errorCode, code, retriable }: FailedCall): boolean {
  if (type !== 'failed') return false
  // A failure without a code of Kafka means that no byte was sent.
  return errorCode === undefined ? retriable === true && code !== 'shuttingDown' : isPassing(kind, errorCode)
}
