import type { ActorRef } from '../../core/actor/actor.js'
import { MAX_TIMER_MS, type RecordFailure, type TopicPartition } from '../../core/model.js'
import { resultOfUser } from '../../core/users-code.js'
import type { Operations, ResultOf, RouterMessage, RouterResult } from '../messages/operations.js'
import { type Unasked, withRequester } from './ask-router.js'
import { checkAddress, checkQuestion } from './mistakes.js'

type OperationName = keyof Operations

/** A request without the field `requester`, which the manager fills in. */
export type Question<Operation extends OperationName = OperationName> = Unasked<Operation>

/**
 * A message of the manager to its own actor. The actor passes it to {@link RequestManager.checkResult} without reading
 * it.
 */
export interface FromRouter {
  readonly type: 'fromRouter'
  readonly operation: OperationName
  /** The number of the question, the same for all tries of one question. */
  readonly requestId: number
  /** `timer`: this try was not answered in time. */
  readonly news:
    | { readonly type: 'result'; readonly result: RouterResult }
    | { readonly type: 'timer'; readonly tryNumber: number }
}

/**
 * One handler for each possible answer of an operation. The compiler reports a missing handler. `timedOut` has no
 * handler, because the manager then asks again.
 */
export type ResultHandlers<Operation extends OperationName> = {
  readonly [Name in Operation]: {
    readonly [Type in Exclude<ResultOf<Name>['type'], 'timedOut'>]: (
      result: Extract<ResultOf<Name>, { type: Type }>
    ) => void
  }
}

export interface RequestManagerOptions {
  readonly router: ActorRef<RouterMessage>
  /** Sends a message to the owning actor; with nact `message => dispatch(self, message)`. */
  readonly tellSelf: (message: FromRouter) => void
  /** The time limit of each operation. Default: 60 s. */
  readonly timeoutsMs?: Partial<Record<OperationName, number>>
  /**
   * Called before each repeated try. `reason`: the Router's reason why the last try was not answered in time. Default:
   * a warning of the process at the second try of a question, and at every tenth.
   */
  readonly onRetry?: (operation: OperationName, tryNumber: number, reason: string | undefined) => void
  /** Returns random numbers in [0, 1), which distribute repeated tries over time. */
  readonly random?: () => number
}

const DEFAULT_TIMEOUT_MS = 60_000
// The Router itself answers `timedOut` at the deadline. The timer of the manager only fires if the Router has stopped.
const OWN_TIMER_MARGIN_MS = 1_000
const RETRY_DELAY_STEP_MS = 100
const RETRY_DELAY_MAX_MS = 5_000
const RETRIES_PER_WARNING = 10

const UNKNOWN: RecordFailure = {
  type: 'failed',
  code: 'timedOut',
  errorCode: undefined,
  message: 'the Router did not answer',
  retriable: true,
  persisted: 'unknown'
}

interface Outstanding {
  readonly requestId: number
  readonly key: string
  readonly question: Question
  tryNumber: number
  timer: NodeJS.Timeout
}

/**
 * Manages the questions of an actor to the Router. At most one question per operation and key is open, and it is
 * repeated until it is answered. The key is the partition, of commits and committed offsets the group and the partition,
 * of metadata its `requestId`. Questions to write records have no key: any number of them may be open.
 *
 *   manager.sendRequestToRouter({ type: 'fetchData', topicPartition, offset })
 *   // in the actor: on a message of type 'fromRouter'
 *   manager.checkResult(message, { fetchData: { success: …, noMessages: …, … } })
 *
 * - A second question of the same operation and key replaces the first question, whose answer and timer are then ignored.
 * - A late answer to an earlier try counts. The answer to the later try is then dropped.
 * - The timer of an old question does not affect a new question for the same offset, which often follows `noMessages`.
 * - A question to write records is asked once. Where the Router does not answer it, the outcomes are unknown.
 * - A failure is an answer: it ends the question, and its handler decides what to do.
 * Source: Box-Castle/router 1.0.3, RouterRequestManager.scala. Differs: questions have keys, answers are matched by a
 * token instead of by fields, the metadata operation has its own time-out, repeated tries are spread, timers are cancelled.
 */
export class RequestManager<Operation extends OperationName = OperationName> {
  readonly #options: RequestManagerOptions
  /** Outstanding requests by `requestId`; `#byKey` has the same by key. */
  readonly #outstanding = new Map<number, Outstanding>()
  readonly #byKey = new Map<string, Outstanding>()
  #lastRequestId = 0

  constructor(options: RequestManagerOptions) {
    checkAddress(options.router)
    this.#options = options
  }

  /**
   * True while a question of this operation, or one with the key of this question, waits for its answer. A question to
   * write records waits by itself.
   */
  isWaiting(asked: Operation | Question<Operation>): boolean {
    if (typeof asked === 'object' && asked.type !== 'produce') return this.#byKey.has(keyOf(asked))
    for (const { question } of this.#outstanding.values())
      if (question === asked || question.type === asked) return true
    return false
  }

  /** @throws InvalidRequestError for a field that the question does not have, or a time below 0 */
  sendRequestToRouter(question: Question<Operation>): void {
    checkQuestion(question)
    const requestId = ++this.#lastRequestId
    const key = question.type === 'produce' ? `produce ${requestId}` : keyOf(question)
    this.#forget(this.#byKey.get(key))
    const outstanding = { requestId, key, question, tryNumber: 1, timer: this.#startTimer(question, requestId, 1) }
    this.#outstanding.set(requestId, outstanding)
    this.#byKey.set(key, outstanding)
    this.#send(question, requestId)
  }

  /** Calls the handler for the answer. A message that belongs to an earlier question is ignored. */
  checkResult(message: FromRouter, handlers: ResultHandlers<Operation>): void {
    const outstanding = this.#outstanding.get(message.requestId)
    if (outstanding === undefined) return
    const { news } = message
    if (news.type === 'timer') {
      if (news.tryNumber !== outstanding.tryNumber) return
      if (outstanding.question.type === 'produce') this.#waitLonger(outstanding, outstanding.question, handlers)
      else this.#tryAgain(outstanding, 0, 'the Router did not answer')
    } else if (news.result.type === 'timedOut') {
      this.#tryAgain(outstanding, this.#retryDelayMs(outstanding.tryNumber), news.result.reason)
    } else this.#end(outstanding, news.result, handlers)
  }

  #end(outstanding: Outstanding, result: RouterResult, handlers: ResultHandlers<Operation>): void {
    this.#forget(outstanding)
    const handle = handlers[outstanding.question.type as Operation] as Record<string, (result: never) => void>
    handle[result.type]!(result as never)
  }

  /**
   * Records that are written once more would be in Kafka twice. The first time, the process may have stood still: the timer
   * is due, the broker has answered, and the answer is read after the timer. The second time, the outcomes are unknown.
   */
  #waitLonger(outstanding: Outstanding, { records }: Question<'produce'>, handlers: ResultHandlers<Operation>): void {
    const { question, requestId, tryNumber } = outstanding
    if (tryNumber === 1) {
      outstanding.tryNumber++
      outstanding.timer = this.#startTimer(question, requestId, outstanding.tryNumber)
    } else
      this.#end(
        outstanding,
        { operation: 'produce', type: 'completed', outcomes: records.map(() => UNKNOWN) },
        handlers
      )
  }

  /** Forgets all questions. The actor must call this when it stops. */
  close(): void {
    for (const outstanding of [...this.#outstanding.values()]) this.#forget(outstanding)
  }

  #forget(outstanding: Outstanding | undefined): void {
    if (!outstanding) return
    clearTimeout(outstanding.timer)
    this.#outstanding.delete(outstanding.requestId)
    this.#byKey.delete(outstanding.key)
  }

  #tryAgain(outstanding: Outstanding, delayMs: number, reason: string | undefined): void {
    const { question, requestId } = outstanding
    clearTimeout(outstanding.timer)
    const tryNumber = ++outstanding.tryNumber
    const send = (): void => {
      outstanding.timer = this.#startTimer(question, requestId, tryNumber)
      const { onRetry = warnOfRetry } = this.#options
      resultOfUser('onRetry', () => onRetry(question.type, tryNumber, reason), undefined, onRetry)
      this.#send(question, requestId)
    }
    if (delayMs === 0) send()
    else outstanding.timer = setTimeout(send, delayMs)
  }

  #retryDelayMs(tryNumber: number): number {
    const random = this.#options.random ?? Math.random
    return Math.round(
      (0.5 + random() / 2) * Math.min(RETRY_DELAY_MAX_MS, RETRY_DELAY_STEP_MS * 2 ** Math.min(tryNumber, 10))
    )
  }

  #timeoutMsOf(question: Question): number {
    return question.timeoutMs ?? this.#options.timeoutsMs?.[question.type] ?? DEFAULT_TIMEOUT_MS
  }

  #startTimer(question: Question, requestId: number, tryNumber: number): NodeJS.Timeout {
    const message: FromRouter = {
      type: 'fromRouter',
      operation: question.type,
      requestId,
      news: { type: 'timer', tryNumber }
    }
    const delayMs = Math.min(this.#timeoutMsOf(question) + OWN_TIMER_MARGIN_MS, MAX_TIMER_MS)
    return setTimeout(() => this.#options.tellSelf(message), delayMs)
  }

  #send(question: Question, requestId: number): void {
    const operation = question.type
    const requester = {
      reply: (result: RouterResult): void =>
        this.#options.tellSelf({ type: 'fromRouter', operation, requestId, news: { type: 'result', result } })
    }
    this.#options.router.tell(withRequester(question, this.#timeoutMsOf(question), requester))
  }
}

/**
 * The key of a question with its operation: `fetchData orders/0`, `commitConsumerOffset orders/0 billing`. No legal name of a
 * topic contains a space.
 */
function keyOf(question: Question): string {
  const { type, topicPartition, groupId = '', requestId = '' } = question as KeyParts
  return `${type} ${topicPartition?.topic}/${topicPartition?.partition} ${groupId}${requestId}`
}

interface KeyParts extends Pick<Question, 'type'> {
  readonly topicPartition?: TopicPartition
  readonly groupId?: string
  readonly requestId?: number
}

/** Warns that a request was not answered and is sent again. */
function warnOfRetry(operation: OperationName, tryNumber: number, reason = 'no answer in time'): void {
  if (tryNumber !== 2 && tryNumber % RETRIES_PER_WARNING !== 0) return
  const message = `${operation} is asked again (try ${tryNumber}): ${reason}`
  process.emitWarning(message, { type: 'CastellanWarning', code: 'CASTELLAN_RETRY' })
}
