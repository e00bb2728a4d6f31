import { QueueCheck } from './queue-check.js'
import {
  type Attempt,
  type Delivery,
  type Disturbance,
  type EndOfRun,
  Fate,
  isArchiving,
  isDone,
  isDoubtful,
  isFinal,
  type Problem,
  type QueueVerdict
} from './queue-events.js'

/** All that the clients of one queue were told, by all its gateways. {@link QueueCheck} has the rules. */
export class QueueHistory {
  readonly #fates = new Map<string, Fate>()
  readonly #messageOf = new Map<string, string>()
  readonly #disturbances: Disturbance[] = []
  readonly #problems: Problem[] = []
  #written = 0

  /** A message is in the log. Where none is, all may be given, and none is missing. */
  written(message: string, text?: string): void {
    const fate = this.#fateOf(message)
    if (!fate.isWritten) this.#written++
    fate.isWritten = true
    fate.text = text
  }

  acquired(delivery: Delivery): void {
    const { message, token } = delivery
    const former = this.#messageOf.get(token)
    if (former !== undefined) this.problem('given twice', `${message}: a token was given before, for ${former}`)
    this.#messageOf.set(token, message)
    this.#fateOf(message).deliveries.push(delivery)
  }

  /** @returns the attempt; where it has no answer yet, it is completed when it is answered */
  said(attempt: Attempt): Attempt {
    this.#fateOf(this.#messageOf.get(attempt.token)!).attempts.push(attempt)
    return attempt
  }

  /** A gateway has logged that Kafka archives a message. @param at infinity: it is not known when */
  archived(message: string, at: number, because: string): void {
    this.#fateOf(message).archived.push({ at, because })
  }

  disturbed(disturbance: Disturbance): void {
    this.#disturbances.push(disturbance)
  }

  problem(rule: string, what: string): void {
    this.#problems.push({ rule, what })
  }

  /** How many messages are written. */
  get size(): number {
    return this.#written
  }

  /** How many have been accepted, rejected or archived, as far as is known. */
  get settled(): number {
    const isSettled = (one: Attempt): boolean => isArchiving(one) || (isFinal(one) && (isDone(one) || isDoubtful(one)))
    const isOver = ({ attempts, archived }: Fate): boolean => archived.length > 0 || attempts.some(isSettled)
    return [...this.#fates.values()].filter(isOver).length
  }

  /** What there is to say when the queue has nothing left to give. */
  verdict(end: EndOfRun): QueueVerdict {
    const check = new QueueCheck(end, this.#disturbances, this.#written > 0)
    for (const [message, fate] of this.#fates) check.look(message, fate)
    const { problems, figures, archived } = check.verdict()
    return { problems: [...this.#problems, ...problems], figures, archived }
  }

  #fateOf(message: string): Fate {
    let fate = this.#fates.get(message)
    if (fate === undefined) this.#fates.set(message, (fate = new Fate()))
    return fate
  }
}
