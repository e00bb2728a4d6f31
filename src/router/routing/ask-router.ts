import type { ActorRef, Requester } from '../../core/actor/actor.js'
import { TimedOutError } from '../../core/errors.js'
import { MAX_TIMER_MS } from '../../core/model.js'
import type { AskableOperations, RequestOf, ResultOf, RouterMessage } from '../messages/operations.js'

/** An element of the ring of open questions. */
interface Link {
  next: Link
  previous: Link
  /** When the question fails. */
  readonly dueAt: number
  fail(): void
}

class Question<Result> implements Link, Requester<Result> {
  readonly dueAt: number
  next: Link = this
  previous: Link = this
  readonly #open: OpenQuestions
  readonly #what: string
  readonly #timeoutMs: number
  readonly #resolve: (result: Result) => void
  readonly #reject: (error: Error) => void

  constructor(
    open: OpenQuestions,
    what: string,
    timeoutMs: number,
    resolve: (result: Result) => void,
    reject: (error: Error) => void
  ) {
    this.dueAt = performance.now() + timeoutMs
    this.#open = open
    this.#what = what
    this.#timeoutMs = timeoutMs
    this.#resolve = resolve
    this.#reject = reject
  }

  reply(result: Result): void {
    this.#open.remove(this)
    this.#resolve(result)
  }

  fail(error: Error = new TimedOutError(this.#what, this.#timeoutMs)): void {
    this.#open.remove(this)
    this.#reject(error)
  }
}

/**
 * The questions to one Router that have no answer yet, with a single timer while there are any. A timer for each of them
 * would cost more than an answer from the cache.
 */
export class OpenQuestions implements Link {
  readonly dueAt = Number.POSITIVE_INFINITY
  next: Link = this
  previous: Link = this
  #timer: NodeJS.Timeout | undefined
  #wakesAt = Number.POSITIVE_INFINITY

  /**
   * Asks a question and waits for its result.
   *
   * @param send called once, synchronously, with the requester to reply to
   * @throws TimedOutError after `timeoutMs` without a reply
   */
  ask<Result>(what: string, timeoutMs: number, send: (requester: Requester<Result>) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      const question = new Question(this, what, timeoutMs, resolve, reject)
      this.#add(question)
      try {
        send(question)
      } catch (error) {
        question.fail(error as Error)
      }
    })
  }

  /** Idempotent. */
  remove(question: Link): void {
    question.previous.next = question.next
    question.next.previous = question.previous
    question.next = question.previous = question
    if (this.next !== this) return
    clearTimeout(this.#timer)
    this.#wakesAt = Number.POSITIVE_INFINITY
  }

  fail(): void {}

  #add(question: Link): void {
    const last = this.previous
    question.previous = last
    question.next = this
    last.next = this.previous = question
    if (question.dueAt < this.#wakesAt) this.#wakeAt(question.dueAt)
  }

  #wakeAt(at: number): void {
    clearTimeout(this.#timer)
    this.#wakesAt = at
    const delayMs = Math.ceil(at - performance.now())
    this.#timer = setTimeout(() => this.#wake(), Math.min(Math.max(delayMs, 1), MAX_TIMER_MS))
  }

  /** Fails the questions that are due, and waits for the next ones. */
  #wake(): void {
    const now = performance.now()
    let nextAt = Number.POSITIVE_INFINITY
    for (let question = this.next; question !== this; ) {
      const { next } = question
      if (question.dueAt <= now) question.fail()
      else nextAt = Math.min(nextAt, question.dueAt)
      question = next
    }
    if (this.next !== this) this.#wakeAt(nextAt)
  }
}

export type Unasked<Operation extends keyof AskableOperations> = Operation extends keyof AskableOperations
  ? Omit<RequestOf<Operation>, 'requester'>
  : never

const DEFAULT_TIMEOUT_MS = 30_000
// The Router itself answers `timedOut` at the deadline. If there is no answer within this margin after the deadline,
// the Router has stopped.
const MARGIN_MS = 1_000

const openQuestions = new WeakMap<ActorRef<RouterMessage>, OpenQuestions>()

/**
 * Completes a request. The spread comes last, because in Node 20 each literal that begins with a spread and adds fields
 * gets a hidden class of its own, and every later access to its fields is slow. What the spread may have overwritten is
 * set again.
 */
export function withRequester(request: object, timeoutMs: number, requester: object): RouterMessage {
  const message = { timeoutMs, requester, ...request }
  message.timeoutMs = timeoutMs
  message.requester = requester
  return message as object as RouterMessage
}

/**
 * Asks the Router from code outside the actors. The type of the result follows from the type of the request:
 *
 *   const result = await askRouter(router, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
 *   if (result.type === 'success') result.offset
 *
 * @throws TimedOutError when the Router itself does not answer; a request without an answer from Kafka has the result
 *   `timedOut`
 */
export function askRouter<Operation extends keyof AskableOperations>(
  router: ActorRef<RouterMessage>,
  request: Unasked<Operation> & { readonly type: Operation }
): Promise<ResultOf<Operation>> {
  const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS
  let questions = openQuestions.get(router)
  if (!questions) openQuestions.set(router, (questions = new OpenQuestions()))
  return questions.ask<ResultOf<Operation>>(request.type, timeoutMs + MARGIN_MS, requester =>
    router.tell(withRequester(request, timeoutMs, requester))
  )
}

/**
 * Limit of concurrent requests to the Router: a large topic, or many groups, must not take the places of all waiting
 * requests.
 */
const AT_ONCE = 250

/** Calls `ask` for every item, for a limited number of items at a time. `ask` may end this early. */
export function inPortions<Item>(
  items: readonly Item[],
  ask: (item: Item, answered: (isEnough?: boolean) => void) => void,
  onOver: () => void
): void {
  let next = 0
  let open = 0
  let isEnough = false
  let isAsking = false
  const askMore = (): void => {
    if (isAsking) return
    isAsking = true
    while (!isEnough && open < AT_ONCE && next < items.length) {
      open++
      ask(items[next++]!, enough => {
        open--
        isEnough ||= enough === true
        askMore()
      })
    }
    isAsking = false
    if (open === 0) onOver()
  }
  askMore()
}

/** Calls `work` for every item, for a limited number of items at a time. Returns the results in the order of items. */
export function mapInPortions<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>
): Promise<Result[]> {
  const results: Result[] = new Array(items.length)
  return new Promise((resolve, reject) => {
    inPortions(
      [...items.entries()],
      ([at, item], answered) => {
        work(item).then(
          result => {
            results[at] = result
            answered()
          },
          error => {
            reject(error)
            answered(true)
          }
        )
      },
      () => resolve(results)
    )
  })
}
