import type { MonotonicClock } from '../../../core/model.js'
import type { Gateway } from '../../../gateway/gateway.js'
import { admitsRuled, type Params } from '../../../http/api/endpoint.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { callerOf, type EndpointParts } from '../endpoint-parts.js'
import { ProblemError } from '../failures.js'
import { LongList, lazily } from '../long-lists.js'
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

/** The routes of version 2 that read topics, partitions and brokers, by id. @param timeoutMs of a whole request */
export function metadataRoutes(parts: EndpointParts, gateway: Gateway, timeoutMs: number, clock: MonotonicClock) {
  const answer = (exchange: Exchange, topic: string | undefined, work: (time: TimeLeft) => Promise<unknown>): void => {
    const lookUp: LookUp = { version: 'v2', operation: 'admin', target: { topic } }
    answerLookUp(parts, exchange, lookUp, async () => work(new TimeLeft(timeoutMs, clock)))
  }
  const find = async (topic: string, time: TimeLeft) => requireTopic(await gateway.topics([topic], time.ms), topic)
  const root = (exchange: Exchange): void => {
    if (admitsRuled(parts, exchange)) parts.answers.ok(exchange, 'v2', '{}')
  }
  return {
    root,
    postRoot: root,
    listTopics(exchange: Exchange): void {
      const caller = callerOf(parts, exchange)
      answer(exchange, undefined, async time => {
        const all = await gateway.topics('all', time.ms)
        const names = lazily(() => [...all.keys()].filter(topic => caller.allows('admin', { topic })).sort(byBytes))
        return new LongList('topics', '[', names, ']')
      })
    },
    getTopic(exchange: Exchange, { topic = '' }: Params): void {
      answer(exchange, topic, async time => {
        const { partitions } = await find(topic, time)
        const entries = await gateway.admin.describeConfigs([{ type: 'topic', name: topic }], time.ms)
        const configs = Object.fromEntries((entries.get(topic) ?? []).map(({ name, value }) => [name, value]))
        const empty = JSON.stringify({ name: topic, configs, partitions: [] })
        const end = empty.length - ']}'.length
        return new LongList('topic', empty.slice(0, end), partitionsJson(partitions), empty.slice(end))
      })
    },
    listPartitions(exchange: Exchange, { topic = '' }: Params): void {
      answer(exchange, topic, async time => {
        const { partitions } = await find(topic, time)
        return new LongList('partitions', '[', partitionsJson(partitions), ']')
      })
    },
    getPartition(exchange: Exchange, { topic = '', partition = '' }: Params): void {
      answer(exchange, topic, async time => partitionJson(requirePartition(await find(topic, time), partition)))
    },
    getOffsets(exchange: Exchange, { topic = '', partition: text = '' }: Params): void {
      answer(exchange, topic, async time => {
        const { partition } = requirePartition(await find(topic, time), text)
        const [ends] = await gateway.admin.logEnds([{ topic, partition }], time.ms)
        if (ends === undefined) throw new ProblemError(noPartition(topic, text))
        return { beginning_offset: ends.start, end_offset: ends.end }
      })
    },
    listBrokers(exchange: Exchange): void {
      answer(exchange, undefined, async time => {
        const { brokers } = await gateway.admin.describeCluster(time.ms)
        return { brokers: brokers.map(({ nodeId }) => nodeId) }
      })
    }
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
