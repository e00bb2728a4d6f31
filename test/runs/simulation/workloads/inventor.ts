import type { Requester } from '../../../../src/core/actor/actor.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'

export interface InventorOptions {
  readonly name: string
  readonly pauseMs: readonly [number, number]
}

const TIMEOUT_MS = 3_000
const MOST_NAMES = 8
/** Legal names that are also those of every object. */
const ODD_NAMES = ['__proto__', 'constructor', 'toString']

/** Asks for topics that nobody has, and must be told so or nothing; never anything else. */
export class Inventor extends Client<InventorOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { asked: 0 }
  #invented = 0
  #open = 0

  start(): void {
    if (this.isStopped) return
    const { random } = this.deps
    const ask = random.pick([this.#read, this.#look, this.#list, this.#write])
    for (let count = random.between(1, MOST_NAMES); count > 0; count--) ask.call(this, this.#newName())
    setTimeout(() => this.start(), random.between(...this.options.pauseMs))
  }

  get isFinished(): boolean {
    return this.#open === 0
  }

  #newName(): string {
    return this.deps.random.between(1, 20) === 1 ? this.deps.random.pick(ODD_NAMES) : `invented-${++this.#invented}`
  }

  #read(topic: string): void {
    const requester = this.#requester<{ type: string }>(`reads ${topic}`, ({ type }) => type)
    this.deps.service.tell({
      type: 'fetchData',
      topicPartition: { topic, partition: 0 },
      offset: 0,
      timeoutMs: TIMEOUT_MS,
      requester
    })
  }

  #look(topic: string): void {
    const requester = this.#requester<{ type: string }>(`looks at ${topic}`, ({ type }) => type)
    this.deps.service.tell({
      type: 'fetchOffset',
      topicPartition: { topic, partition: 0 },
      offsetType: 'latest',
      timeoutMs: TIMEOUT_MS,
      requester
    })
  }

  #list(topic: string): void {
    const requester = this.#requester<{ type: string; topics?: ReadonlyMap<string, { errorCode: number }> }>(
      `lists ${topic}`,
      ({ type, topics }) => (topics === undefined ? type : topics.get(topic)?.errorCode === 0 ? 'found' : 'missing')
    )
    this.deps.service.tell({
      type: 'fetchTopicMetadata',
      requestId: this.#invented,
      topics: [topic],
      timeoutMs: TIMEOUT_MS,
      requester
    })
  }

  #write(topic: string): void {
    const { reply } = this.#requester<string>(`writes to ${topic}`, outcome => outcome)
    this.deps.service.verbs
      .produce([{ topic, key: 'key', value: 'nowhere' }], { partitioner: 'crc32', deadlineMs: TIMEOUT_MS })
      .outcomes()
      .then(([outcome]) => reply(outcome?.type === 'failed' ? `write ${outcome.persisted}` : 'written'))
  }

  #requester<Result>(what: string, kindOf: (result: Result) => string): Requester<Result> {
    const answered = this.deps.answers.ask(`${this.name} ${what}`, TIMEOUT_MS)
    this.counts.asked!++
    this.#open++
    return {
      reply: result => {
        this.#open--
        if (!answered()) return
        const kind = kindOf(result)
        this.counts[kind] = (this.counts[kind] ?? 0) + 1
        if (!honest.has(kind)) this.violations.push({ rule: 'invented', what: `${this.name} ${what}: ${kind}` })
      }
    }
  }
}

/** What may be said of a topic that does not exist. A write is never uncertain: nothing was sent anywhere. */
const honest: ReadonlySet<string> = new Set(['unknownTopicOrPartition', 'timedOut', 'failed', 'missing', 'write no'])
