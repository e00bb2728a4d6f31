import type { Violation } from './violation.js'
import type { Host } from './world/host.js'
import type { SimulatedTime } from './world/time.js'

/** So much later than its deadline an answer may come. */
const TOLERANCE_MS = 1_000

interface Question {
  readonly what: string
  readonly host: Host
  readonly askedAt: number
  readonly dueAt: number
  readonly heldUpMs: number
  isAnswered: boolean
  /** The process that should answer has ended. */
  isForgotten: boolean
}

/** Sees that every request has exactly one answer, within its time. */
export class Answers {
  readonly violations: Violation[] = []
  readonly #time: SimulatedTime
  readonly #open = new Set<Question>()
  #asked = 0

  constructor(time: SimulatedTime) {
    this.#time = time
  }

  get asked(): number {
    return this.#asked
  }

  get open(): number {
    return this.#open.size
  }

  /**
   * Notes a request.
   *
   * @param host where the answer is made; default: the current host
   * @returns to be called with every answer to it; false: there has been one before
   */
  ask(what: string, timeoutMs: number, host = this.#time.current): () => boolean {
    const { now } = this.#time
    this.#asked++
    const question = {
      what,
      host,
      askedAt: now,
      dueAt: now + timeoutMs,
      heldUpMs: host.heldUpMs,
      isAnswered: false,
      isForgotten: false
    }
    this.#open.add(question)
    return () => this.#answered(question)
  }

  /** A process has ended: nobody waits any more for what it was asked. */
  forget(host: Host): void {
    for (const question of this.#open) {
      if (question.host !== host) continue
      question.isForgotten = true
      this.#open.delete(question)
    }
  }

  /** What a process has been asked before and has not answered. */
  openOf(host: Host, beforeMs: number): readonly string[] {
    const open = [...this.#open].filter(question => question.host === host && question.askedAt < beforeMs)
    return open.map(({ what }) => what)
  }

  /** Notes what has no answer and should have one by now. */
  checkOpen(): void {
    for (const { what, dueAt, askedAt } of this.#open) {
      if (this.#time.now > dueAt + TOLERANCE_MS) this.#violated('unanswered', `${what}, asked at ${round(askedAt)}`)
    }
  }

  #answered(question: Question): boolean {
    const { what, host, askedAt, dueAt, heldUpMs } = question
    if (question.isAnswered) {
      this.#violated('answered twice', what)
      return false
    }
    question.isAnswered = true
    this.#open.delete(question)
    // Its client learns of the end of the process when it has bytes again, however late that is.
    if (question.isForgotten) return true
    // A process that stands still cannot answer.
    const lateMs = this.#time.now - dueAt - (host.heldUpMs - heldUpMs)
    if (lateMs > TOLERANCE_MS) this.#violated('late', `${what}, asked at ${round(askedAt)}, ${round(lateMs)} ms late`)
    return true
  }

  #violated(rule: string, what: string): void {
    this.violations.push({ rule, what })
  }
}

const round = (ms: number): string => ms.toFixed(1)
