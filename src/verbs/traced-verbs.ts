import type { RecordHeader } from '../core/model.js'
import type { TracedMessages, TraceOfRequest, Tracing } from '../core/tracing/tracing.js'
import { over } from './over.js'
import type {
  AcquiredMessage,
  AcquireResult,
  ConsumeManyResult,
  GroupVerbs,
  InstanceVerbs,
  PendingProduce,
  QueueVerbs,
  Verbs
} from './verbs.js'

/**
 * A gateway whose records and messages have spans. It stands before gateways that pass requests on to other processes, for a
 * trace stays in the process of its request.
 */
export function tracedVerbs(own: Verbs, tracing: Tracing): Verbs {
  return over(own, {
    produce(records, options, origin) {
      const trace = options?.trace ?? origin?.trace?.context ?? tracing.current
      const pendingProduce = own.produce(records, { ...options, trace }, origin)
      if (options?.durability === 'disk' && records.length > 0) {
        endWhenStored(pendingProduce, tracing.append(records[0]!.topic, records.length, trace))
      }
      return pendingProduce
    },
    groups: tracedGroups(own.groups, tracing),
    instances: tracedInstances(own.instances, tracing),
    queues: tracedQueues(own.queues, tracing)
  })
}

function endWhenStored(pendingProduce: PendingProduce, end: (refused: number) => void): void {
  const countOf = (refused: PendingProduce['refused']): number => refused?.filter(one => one !== undefined).length ?? 0
  void pendingProduce.accepted().then(refused => end(countOf(refused)))
}

function tracedGroups(own: GroupVerbs, tracing: Tracing): GroupVerbs {
  return over(own, {
    consume(groupId, topic, limits, timeoutMs, asker) {
      const { client, trace } = asker
      const askedAt = Date.now()
      const reply = (result: ConsumeManyResult): void => {
        if (result.type === 'messages') record(tracing, groupId, result.messages.messages, askedAt, trace)
        asker.reply(result)
      }
      return own.consume(groupId, topic, limits, timeoutMs, { client, reply })
    }
  })
}

function tracedInstances(own: InstanceVerbs, tracing: Tracing): InstanceVerbs {
  return over(own, {
    async read(instance, { trace, ...limits }) {
      const askedAt = Date.now()
      const result = await own.read(instance, limits)
      if (result.type === 'done') record(tracing, instance.groupId, result.value.records, askedAt, trace)
      return result
    }
  })
}

function tracedQueues(own: QueueVerbs, tracing: Tracing): QueueVerbs {
  return over(own, {
    acquire(topic, groupId, options, asker) {
      const { trace } = asker
      const askedAt = Date.now()
      const reply = (result: AcquireResult): void => {
        if (result.type === 'acquired') {
          const messages = result.messages.map(({ partition, record: of }) => ({ topic, partition, ...of }))
          record(tracing, groupId, messages, askedAt, trace)
        }
        asker.reply(result)
      }
      return own.acquire(topic, groupId, options, { reply })
    }
  })
}

type Message = Pick<AcquiredMessage, 'topic' | 'partition' | 'offset' | 'headers'>

function record(
  tracing: Tracing,
  group: string,
  messages: readonly Message[],
  askedAt: number,
  trace: TraceOfRequest | undefined
): void {
  let from = 0
  for (let at = 1; at <= messages.length; at++) {
    const [first, next] = [messages[from]!, messages[at]]
    if (next !== undefined && next.topic === first.topic && next.partition === first.partition) continue
    const { topic, partition, offset: firstOffset } = first
    const given: TracedMessages = {
      topic,
      partition,
      group,
      count: at - from,
      firstOffset,
      askedAt,
      trace,
      headers: headersOf(messages, from, at)
    }
    tracing.process(given)
    from = at
  }
}

function* headersOf(messages: readonly Message[], from: number, to: number): Iterable<readonly RecordHeader[]> {
  for (let at = from; at < to; at++) yield messages[at]!.headers
}
