import type { MonotonicClock } from '../../../core/model.js'
import type { Gateway } from '../../../gateway/gateway.js'
import { admitsRuled, type Params } from '../../../http/api/endpoint.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { callerOf, type EndpointParts } from '../endpoint-parts.js'
import { ProblemError } from '../failures.js'
import { LongList } from '../long-lists.js'
import {
  answerLookUp,
  byBytes,
  type LookUp,
  noPartition,
  type Partition,
  requirePartition,
  requireTopic,
  TimeLeft
} from '../look-up.js'

/** The routes of version 2 that read topics, partitions and brokers. */
export class MetadataEndpoint {
  readonly #gateway: Gateway
  readonly #timeoutMs: number
  readonly #clock: MonotonicClock
  readonly #parts: EndpointParts

  /** @param timeoutMs of a whole request */
  constructor(gateway: Gateway, timeoutMs: number, clock: MonotonicClock, parts: EndpointParts) {
    this.#gateway = gateway
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#parts = parts
  }

  /** `GET /` and `POST /` */
  root(exchange: Exchange): void {
    if (admitsRuled(this.#parts, exchange)) this.#parts.answers.ok(exchange, 'v2', '{}')
  }

  /** `GET /topics` */
  topics(exchange: Exchange): void {
    const caller = callerOf(this.#parts, exchange)
    this.#answer(exchange, undefined, async time => {
      const all = await this.#gateway.topics('all', time.ms)
      function* names(): Iterable<string> {
        yield* [...all.keys()].filter(topic => caller.allows('admin', { topic })).sort(byBytes)
      }
      return new LongList('topics', '[', names(), ']')
    })
  }

  /** `GET /topics/{topic}` */
  topic(exchange: Exchange, { topic = '' }: Params): void {
    this.#answer(exchange, topic, async time => {
      const { partitions } = await this.#find(topic, time)
      const entries = await this.#gateway.admin.describeConfigs([{ type: 'topic', name: topic }], time.ms)
      const configs = Object.fromEntries((entries.get(topic) ?? []).map(({ name, value }) => [name, value]))
      const empty = JSON.stringify({ name: topic, configs, partitions: [] })
      const end = empty.length - ']}'.length
      return new LongList('topic', empty.slice(0, end), partitionsJson(partitions), empty.slice(end))
    })
  }

  /** `GET /topics/{topic}/partitions` */
  partitions(exchange: Exchange, { topic = '' }: Params): void {
    this.#answer(exchange, topic, async time => {
      const { partitions } = await this.#find(topic, time)
      return new LongList('partitions', '[', partitionsJson(partitions), ']')
    })
  }

  /** `GET /topics/{topic}/partitions/{partition}` */
  partition(exchange: Exchange, { topic = '', partition = '' }: Params): void {
    this.#answer(exchange, topic, async time =>
      partitionJson(requirePartition(await this.#find(topic, time), partition))
    )
  }

  /** `GET /topics/{topic}/partitions/{partition}/offsets` */
  offsets(exchange: Exchange, { topic = '', partition: text = '' }: Params): void {
    this.#answer(exchange, topic, async time => {
      const { partition } = requirePartition(await this.#find(topic, time), text)
      const [ends] = await this.#gateway.admin.logEnds([{ topic, partition }], time.ms)
      if (ends === undefined) throw new ProblemError(noPartition(topic, text))
      return { beginning_offset: ends.start, end_offset: ends.end }
    })
  }

  /** `GET /brokers` */
  brokers(exchange: Exchange): void {
    this.#answer(exchange, undefined, async time => {
      const { brokers } = await this.#gateway.admin.describeCluster(time.ms)
      return { brokers: brokers.map(({ nodeId }) => nodeId) }
    })
  }

  async #find(topic: string, time: TimeLeft) {
    return requireTopic(await this.#gateway.topics([topic], time.ms), topic)
  }

  #answer(exchange: Exchange, topic: string | undefined, work: (time: TimeLeft) => Promise<unknown>): void {
    const lookUp: LookUp = { version: 'v2', operation: 'admin', target: { topic } }
    answerLookUp(this.#parts, exchange, lookUp, async () => work(new TimeLeft(this.#timeoutMs, this.#clock)))
  }
}

function* partitionsJson(partitions: readonly Partition[]): Iterable<object> {
  for (const partition of partitions) yield partitionJson(partition)
}

const partitionJson = ({ partition, leaderId: leader, replicas, isr }: Partition): object => ({
  partition,
  leader,
  replicas: replicas.map(broker => ({ broker, leader: broker === leader, in_sync: isr.includes(broker) }))
})
