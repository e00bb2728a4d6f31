import type { RecordHeader } from '../core/model.js'
import type { TracedMessages, TraceOfRequest, Tracing } from '../core/tracing/tracing.js'
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
import { WrappedGroups, WrappedInstances, WrappedQueues, WrappedVerbs } from './wrapped.js'

/**
 * A cluster whose records and messages have spans. It stands before clusters that pass requests on to other processes, for a
 * trace stays in the process of its request.
 */
export class TracedVerbs extends WrappedVerbs {
  readonly #tracing: Tracing

  constructor(own: Verbs, tracing: Tracing) {
    super(own, {
      groups: new TracedGroups(own.groups, tracing),
      instances: new TracedInstances(own.instances, tracing),
      queues: new TracedQueues(own.queues, tracing)
    })
    this.#tracing = tracing
  }

  override produce(...[records, options, origin]: Parameters<Verbs['produce']>): PendingProduce {
    const tracing = this.#tracing
    const trace = options?.trace ?? origin?.trace?.context ?? tracing.current
    const pendingProduce = this.own.produce(records, { ...options, trace }, origin)
    if (options?.durability === 'disk' && records.length > 0) {
      endWhenStored(pendingProduce, tracing.append(records[0]!.topic, records.length, trace))
    }
    return pendingProduce
  }
}

function endWhenStored(pendingProduce: PendingProduce, end: (refused: number) => void): void {
  const countOf = (refused: PendingProduce['refused']): number => refused?.filter(one => one !== undefined).length ?? 0
  void pendingProduce.accepted().then(refused => end(countOf(refused)))
}

class TracedGroups extends WrappedGroups {
  readonly #tracing: Tracing

  constructor(own: GroupVerbs, tracing: Tracing) {
    super(own)
    this.#tracing = tracing
  }

  override consume(...[groupId, topic, limits, timeoutMs, asker]: Parameters<GroupVerbs['consume']>): () => void {
    const { client, trace } = asker
    const askedAt = Date.now()
    const reply = (result: ConsumeManyResult): void => {
      if (result.type === 'messages') record(this.#tracing, groupId, result.messages.messages, askedAt, trace)
      asker.reply(result)
    }
    return this.own.consume(groupId, topic, limits, timeoutMs, { client, reply })
  }
}

class TracedInstances extends WrappedInstances {
  readonly #tracing: Tracing

  constructor(own: InstanceVerbs, tracing: Tracing) {
    super(own)
    this.#tracing = tracing
  }

  override async read(...[instance, { trace, ...limits }]: Parameters<InstanceVerbs['read']>) {
    const askedAt = Date.now()
    const result = await this.own.read(instance, limits)
    if (result.type === 'done') record(this.#tracing, instance.groupId, result.value.records, askedAt, trace)
    return result
  }
}

class TracedQueues extends WrappedQueues {
  readonly #tracing: Tracing

  constructor(own: QueueVerbs, tracing: Tracing) {
    super(own)
    this.#tracing = tracing
  }

  override acquire(...[topic, groupId, options, asker]: Parameters<QueueVerbs['acquire']>): () => void {
    const { trace } = asker
    const askedAt = Date.now()
    const reply = (result: AcquireResult): void => {
      if (result.type === 'acquired') {
        const messages = result.messages.map(({ partition, record: of }) => ({ topic, partition, ...of }))
        record(this.#tracing, groupId, messages, askedAt, trace)
      }
      asker.reply(result)
    }
    return this.own.acquire(topic, groupId, options, { reply })
  }
}

type TracedMessage = Pick<AcquiredMessage, 'topic' | 'partition' | 'offset' | 'headers'>

function record(
  tracing: Tracing,
  group: string,
  messages: readonly TracedMessage[],
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

function* headersOf(messages: readonly TracedMessage[], from: number, to: number): Iterable<readonly RecordHeader[]> {
  for (let at = from; at < to; at++) yield messages[at]!.headers
}
