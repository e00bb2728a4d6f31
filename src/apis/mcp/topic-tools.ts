import { z } from 'zod'
import { isLegalTopicName } from '../../core/model.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { seenBy } from '../../http/api/endpoint.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { TopicMetadata } from '../../verbs/verbs.js'
import { ToolError } from './failures.js'
import { cursor, PAGE, pageOf, requireRight, type ToolCall, tool, topicName } from './tool.js'

/** @throws ToolError, KafkaError when there is no such topic, or it cannot be described */
export async function requireTopic({ verbs }: ToolCall, topic: string): Promise<TopicMetadata> {
  if (!isLegalTopicName(topic)) throw new ToolError('invalidTopic', ['topic'])
  const metadata = (await verbs.topics([topic], LOOK_UP_TIMEOUT_MS)).get(topic)
  const errorCode = metadata?.errorCode ?? errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  if (metadata === undefined || errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) throw new ToolError('unknownTopic')
  if (errorCode !== errorCodes.NONE) throw kafkaErrorOf(errorCode)
  return metadata
}

const rowOf = ({ topic, partitions, isInternal }: TopicMetadata) => ({
  topic,
  partitions: partitions.length,
  replicas: Math.max(0, ...partitions.map(({ replicas }) => replicas.length)),
  ...(isInternal && { internal: true })
})

export const listTopics = tool(
  {
    name: 'list_topics',
    description: `Topics that you may see, by name, ${PAGE} at a time: topic, partitions, replicas. next is there when there are more.`,
    input: z.strictObject({ prefix: topicName.optional().describe('Only names that begin with this'), cursor }),
    rights: ['admin']
  },
  async (call, { prefix = '', cursor }) => {
    requireRight(call, 'topics', {})
    const all = await call.verbs.topics('all', LOOK_UP_TIMEOUT_MS)
    const isVisible = seenBy(call.caller, 'topics', 'topic')
    const isListed = ({ topic, errorCode }: TopicMetadata): boolean =>
      errorCode === errorCodes.NONE && topic.startsWith(prefix) && isVisible({ topic })
    const names = [...all.values()].filter(isListed).map(({ topic }) => topic)
    const { rows, next } = pageOf(names, cursor, name => rowOf(all.get(name)!))
    return { topics: rows, next }
  }
)

export const describeTopic = tool(
  {
    name: 'describe_topic',
    description: `A topic: its settings that differ from the defaults of the brokers, and of ${PAGE} partitions at a time the leader (-1: none), the replicas, those in sync, and the offsets of its first and its next record (where a transaction is open: of its first one).`,
    input: z.strictObject({
      topic: topicName,
      from_partition: z.int().min(0).default(0).describe('next_partition of the page before')
    }),
    rights: ['admin']
  },
  async (call, { topic, from_partition: from }) => {
    requireRight(call, 'topics', { topic })
    const { partitions, isInternal } = await requireTopic(call, topic)
    const later = partitions.filter(({ partition }) => partition >= from).sort((a, b) => a.partition - b.partition)
    const page = later.slice(0, PAGE)
    const led = page.filter(({ leaderId }) => leaderId >= 0).map(({ partition }) => ({ topic, partition }))
    const [ends, configs] = await Promise.all([
      call.verbs.admin.logEnds(led, LOOK_UP_TIMEOUT_MS),
      call.verbs.topicConfigs([topic], LOOK_UP_TIMEOUT_MS)
    ])
    const endsBy = new Map(led.map(({ partition }, at) => [partition, ends[at]]))
    return {
      topic,
      internal: isInternal,
      settings: Array.from(configs.get(topic) ?? [], ([name, value]) => ({ name, value })),
      partition_count: partitions.length,
      partitions: page.map(({ partition, leaderId, replicas, isr }) => {
        const { start, end } = endsBy.get(partition) ?? {}
        return { partition, leader: leaderId, replicas, in_sync: isr, first_offset: start, next_offset: end }
      }),
      next_partition: later[PAGE]?.partition
    }
  }
)
