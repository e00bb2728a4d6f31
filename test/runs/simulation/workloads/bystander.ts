import type { Requester } from '../../../../src/core/actor/actor.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'

export interface BystanderOptions {
  readonly name: string
  readonly topic: string
  readonly partition: number
  /** Its group is coordinated by this node. */
  readonly groupNode: number
  readonly boundMs: number
  readonly pauseMs: readonly [number, number]
}

const TIMEOUT_MS = 10_000

/** Has to do with nobody who is in trouble: everything it asks for succeeds, and soon. */
export class Bystander extends Client<BystanderOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { asked: 0, slowest: 0 }
  readonly #groupId: string
  #offset = 0
  #open = 0

  constructor(options: BystanderOptions, deps: ServiceDeps) {
    super(options, deps)
    this.#groupId = deps.groupOn(options.groupNode)
  }

  start(): void {
    if (this.isStopped) return
    const { random } = this.deps
    random.pick([this.#write, this.#read, this.#look, this.#commit, this.#committed]).call(this)
    setTimeout(() => this.start(), random.between(...this.options.pauseMs))
  }

  get isFinished(): boolean {
    return this.#open === 0
  }

  get #topicPartition() {
    const { topic, partition } = this.options
    return { topic, partition }
  }

  #write(): void {
    const { reply } = this.#requester<{ type: string }>('write', ['delivered'])
    this.deps.service.verbs
      .produce([{ ...this.#topicPartition, key: null, value: 'quiet' }], {
        partitioner: 'crc32',
        deadlineMs: TIMEOUT_MS
      })
      .outcomes()
      .then(([outcome]) => {
        if (outcome?.type === 'delivered') this.#offset = outcome.offset
        reply(outcome!)
      })
  }

  #read(): void {
    const requester = this.#requester<{ type: string }>('read', ['success', 'noMessages'])
    const { service } = this.deps
    service.tell({
      type: 'fetchData',
      topicPartition: this.#topicPartition,
      offset: this.#offset,
      timeoutMs: TIMEOUT_MS,
      requester
    })
  }

  #look(): void {
    const requester = this.#requester<{ type: string }>('look', ['success'])
    const { service } = this.deps
    service.tell({
      type: 'fetchOffset',
      topicPartition: this.#topicPartition,
      offsetType: 'latest',
      timeoutMs: TIMEOUT_MS,
      requester
    })
  }

  #commit(): void {
    const requester = this.#requester<{ type: string }>('commit', ['success', 'superseded'])
    const { service } = this.deps
    service.tell({
      type: 'commitConsumerOffset',
      groupId: this.#groupId,
      topicPartition: this.#topicPartition,
      offsetAndMetadata: { offset: this.#offset },
      timeoutMs: TIMEOUT_MS,
      requester
    })
  }

  #committed(): void {
    const requester = this.#requester<{ type: string }>('committed', ['success', 'notFound'])
    const { service } = this.deps
    service.tell({
      type: 'fetchConsumerOffset',
      groupId: this.#groupId,
      topicPartition: this.#topicPartition,
      timeoutMs: TIMEOUT_MS,
      requester
    })
  }

  #requester<Result extends { readonly type: string }>(what: string, expected: readonly string[]): Requester<Result> {
    const { answers, now } = this.deps
    const answered = answers.ask(`${this.name} ${what}`, TIMEOUT_MS)
    const askedAt = now()
    this.counts.asked!++
    this.#open++
    return {
      reply: result => {
        this.#open--
        if (!answered()) return
        const tookMs = now() - askedAt
        this.counts.slowest = Math.max(this.counts.slowest!, Math.round(tookMs))
        const isRight = expected.includes(result.type) && tookMs <= this.options.boundMs
        if (!isRight)
          this.#violated(`${what} at ${askedAt.toFixed(0)}: ${JSON.stringify(result)} after ${tookMs.toFixed(0)} ms`)
      }
    }
  }

  #violated(what: string): void {
    this.violations.push({ rule: 'bystander harmed', what })
  }
}
