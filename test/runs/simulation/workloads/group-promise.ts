import {
  askerOfOne,
  type ConsumedMessage,
  type ConsumeResult,
  ONE_MESSAGE
} from '../../../../src/consumer/group/consume-result.js'
import { OfferCheck } from '../../../support/offer-check.js'
import type { Brokers } from '../brokers.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'

/** The promise of offers, checked against the logs of the simulated brokers. */
export class GroupPromise extends OfferCheck {
  readonly #brokers: Brokers

  constructor(brokers: Brokers) {
    super()
    this.#brokers = brokers
  }

  /** What is in the log now, should have been offered to the group, and was not. */
  missingNow(groupId: string, topic: string): string[] {
    if (!this.#brokers.has(topic)) return []
    const { records } = this.#brokers.livesOf(topic).at(-1)!
    return this.missing(
      groupId,
      topic,
      records.map(({ partition, offset, value }) => ({ partition, offset, id: idIn(value) }))
    )
  }
}

/** The value is the id, and headers may follow. */
const idIn = (value: string): string => value.split('|')[0]!

const PRODUCE_DEADLINE_MS = 10_000
const BEHIND_FAILURE_MS = 200

export interface PromiseWriterOptions {
  readonly name: string
  readonly topic: string
  readonly pauseMs: readonly [number, number]
}

/** Writes records one after another, whether their topic is there or not. */
export class PromiseWriter extends Client<PromiseWriterOptions, ServiceDeps> implements Workload {
  readonly counts = { records: 0, delivered: 0 }
  readonly #promise: GroupPromise
  #isOpen = false

  constructor(options: PromiseWriterOptions, deps: ServiceDeps, promise: GroupPromise) {
    super(options, deps)
    this.#promise = promise
  }

  start(): void {
    if (!this.isStopped) this.#write(isThere => this.#next(isThere))
  }

  get isFinished(): boolean {
    return !this.#isOpen
  }

  override check(): readonly Violation[] {
    return []
  }

  /** Some more, which are offered to everybody: the groups have been answered long ago. */
  tryOnceMore(succeeded: () => void, open = 5): void {
    if (open === 0) return void succeeded()
    this.#write(isThere => {
      setTimeout(() => this.tryOnceMore(succeeded, isThere ? open - 1 : open), BEHIND_FAILURE_MS)
    })
  }

  #next(isThere: boolean): void {
    const pauseMs = this.deps.random.between(...this.options.pauseMs)
    setTimeout(() => this.start(), isThere ? pauseMs : BEHIND_FAILURE_MS)
  }

  #write(then: (isThere: boolean) => void): void {
    const { service, now, trace, answers, history } = this.deps
    const id = `${this.name}.${++this.counts.records}`
    const record = { topic: this.options.topic, key: id, value: `${id}|` }
    this.#isOpen = true
    this.#promise.written(id, now())
    history.invoke({ id, ...record })
    const answered = answers.ask(`${this.name} writes`, PRODUCE_DEADLINE_MS)
    const options = { partitioner: 'crc32', deadlineMs: PRODUCE_DEADLINE_MS } as const
    service.verbs
      .produce([record], options)
      .outcomes()
      .then(([outcome]) => {
        this.#isOpen = false
        if (!answered()) return
        const isThere = outcome!.type === 'delivered'
        if (isThere) {
          this.counts.delivered++
          this.#promise.acknowledged(id)
        }
        history.complete(id, isThere ? { type: 'ok' } : { type: 'unknown', answered: true, isAssumed: true })
        trace.say(this.name, `${id} ${JSON.stringify(outcome)}`)
        then(isThere)
      })
  }
}

export interface PromiseConsumerOptions {
  readonly name: string
  readonly groupId: string
  readonly topic: string
  /** It begins so much later than the others. */
  readonly afterMs: number
}

const TIMEOUTS_MS = [200, 3_000] as const
const PROCESSING_MS = [0, 60] as const
/** An answer waits so much longer while it is not fixed where the group begins. */
const FIRST_ANSWER_MS = 5_000

/** Takes the messages of a topic on behalf of a group, one after another, and acknowledges each. */
export class PromiseConsumer extends Client<PromiseConsumerOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { asked: 0, message: 0, again: 0 }
  readonly #promise: GroupPromise
  #isBusy = false

  constructor(options: PromiseConsumerOptions, deps: ServiceDeps, promise: GroupPromise) {
    super(options, deps)
    this.#promise = promise
  }

  start(): void {
    this.#isBusy = true
    setTimeout(() => this.#ask(), this.options.afterMs)
  }

  /** Goes on until its group has been offered everything. */
  get isFinished(): boolean {
    if (this.#missing().length === 0) return !this.#isBusy
    if (!this.#isBusy) this.deps.onHost(() => this.#goOn())
    return false
  }

  /** Waits for messages again. */
  tryOnceMore(succeeded: () => void): void {
    if (!this.#isBusy) this.#goOn()
    succeeded()
  }

  override check(): readonly Violation[] {
    return this.#missing().map(what => ({ rule: 'never offered', what: `${this.options.groupId}: ${what}` }))
  }

  #missing(): string[] {
    return this.#promise.missingNow(this.options.groupId, this.options.topic)
  }

  #goOn(): void {
    this.#isBusy = true
    setTimeout(() => this.#ask(), 1)
  }

  #ask(): void {
    if (this.isStopped && this.#missing().length === 0) {
      this.#isBusy = false
      return
    }
    const { random, answers, service } = this.deps
    const { groupId, topic } = this.options
    const timeoutMs = random.between(...TIMEOUTS_MS)
    const answered = answers.ask(`${this.name} consumes`, timeoutMs + FIRST_ANSWER_MS)
    this.counts.asked!++
    const reply = (result: ConsumeResult): void => {
      if (answered()) this.#answered(result)
    }
    service.verbs.groups.consume(groupId, topic, ONE_MESSAGE, timeoutMs, askerOfOne({ reply }))
  }

  #answered(result: ConsumeResult): void {
    const { now, trace } = this.deps
    const { groupId, topic } = this.options
    this.counts[result.type] = (this.counts[result.type] ?? 0) + 1
    if (result.type === 'message') {
      this.#promise.answered(groupId, topic, now())
      this.#take(result.message)
      return
    }
    trace.say(this.name, JSON.stringify(result))
    if (result.type === 'timedOut') {
      this.#promise.answered(groupId, topic, now())
      this.#ask()
    } else setTimeout(() => this.#ask(), BEHIND_FAILURE_MS)
  }

  #take(message: ConsumedMessage): void {
    const { random, trace } = this.deps
    const { groupId, topic } = this.options
    const id = idIn(String(message.value))
    trace.say(this.name, `takes ${message.partition}@${message.offset} ${id}`)
    if (this.#promise.offered(groupId, topic, id)) this.counts.again!++
    setTimeout(
      () => {
        message.ack()
        this.#ask()
      },
      random.between(...PROCESSING_MS)
    )
  }
}
