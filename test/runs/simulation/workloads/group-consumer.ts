import {
  askerOfOne,
  type ConsumedMessage,
  type ConsumeResult,
  ONE_MESSAGE
} from '../../../../src/consumer/group/consume-result.js'
import { recordText } from '../record-text.js'
import type { Workload } from '../workload.js'
import { percent } from '../world/randomness.js'
import { Client } from './client.js'
import type { GroupProgress } from './group-progress.js'
import type { ServiceDeps } from './producer.js'

export interface GroupConsumerOptions {
  readonly name: string
  readonly groupId: string
  readonly topic: string
  /** Requests at a time. */
  readonly runtime: number
  /** What a message takes to process. */
  readonly pauseMs: readonly [number, number]
}

const TIMEOUTS_MS = [300, 3_000] as const
const AGAIN_AFTER_FAILURE_MS = 200
const FORGETS_PERCENT = 2
const RELEASE_PERCENT = 4
const LATE_MS = 6_000

/** Takes messages of a group one by one; some it forgets, gives back, or acknowledges late. */
export class GroupConsumer extends Client<GroupConsumerOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { asked: 0, messages: 0, again: 0 }
  readonly #progress: GroupProgress
  #busy = 0

  constructor(options: GroupConsumerOptions, deps: ServiceDeps, progress: GroupProgress) {
    super(options, deps)
    this.#progress = progress
  }

  start(): void {
    while (this.#busy < this.options.runtime) {
      this.#busy++
      this.#ask()
    }
  }

  /**
   * Goes on until every acknowledgement is committed: one that came when the partition had moved to another member counts
   * for nothing there, and the message is offered again.
   */
  get isFinished(): boolean {
    if (this.#progress.isCommitted) return this.#busy === 0
    if (this.#busy === 0) this.deps.onHost(() => this.start())
    return false
  }

  /** Waits for messages again, when everybody has been told that there will be some. */
  tryOnceMore(succeeded: () => void): void {
    setTimeout(() => this.start(), 1)
    succeeded()
  }

  #next(pauseMs: number): void {
    setTimeout(() => this.#ask(), pauseMs)
  }

  #ask(): void {
    if (this.isStopped && this.#progress.isCommitted) {
      this.#busy--
      return
    }
    const { random, answers, service } = this.deps
    const { groupId, topic } = this.options
    const timeoutMs = random.between(...TIMEOUTS_MS)
    const answered = answers.ask(`${this.name} consumes`, timeoutMs)
    this.counts.asked!++
    const reply = (result: ConsumeResult): void => {
      if (answered()) this.#answered(result)
    }
    service.verbs.groups.consume(groupId, topic, ONE_MESSAGE, timeoutMs, askerOfOne({ reply }))
  }

  #answered(result: ConsumeResult): void {
    this.counts[result.type] = (this.counts[result.type] ?? 0) + 1
    if (result.type === 'message') return void this.#take(result.message)
    this.deps.trace.say(this.name, JSON.stringify(result))
    this.#next(result.type === 'timedOut' ? 0 : AGAIN_AFTER_FAILURE_MS)
  }

  #take(message: ConsumedMessage): void {
    const { random, trace } = this.deps
    const { partition, offset } = message
    this.counts.messages!++
    trace.say(this.name, `takes ${partition}@${offset}`)
    if (this.#progress.offered(partition, offset, recordText(message))) this.counts.again!++
    const pauseMs = random.between(...this.options.pauseMs)
    if (this.#progress.isAtRest) return void setTimeout(() => this.#ack(message), pauseMs)
    const draw = random.next() * 100
    if (draw < FORGETS_PERCENT) return void this.#next(pauseMs)
    if (draw < FORGETS_PERCENT + RELEASE_PERCENT) {
      message.release()
      return void this.#next(pauseMs)
    }
    const isLate = percent(random, 1)
    setTimeout(() => this.#ack(message), pauseMs + (isLate ? LATE_MS : 0))
  }

  #ack(message: ConsumedMessage): void {
    this.#progress.acked(message.partition, message.offset)
    message.ack()
    this.#ask()
  }
}
