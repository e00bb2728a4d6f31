import type { ActorRef } from '../../core/actor/actor.js'
import { ask } from '../../core/actor/requester.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import type { DescribeTopicConfigsResult } from '../../router/messages/topic-configs.js'

/** How long a topic keeps a record, counted from the time that the record has. */
export type TopicRetention =
  /** Infinite: for ever, or from the time at which the broker has appended it. */
  | { readonly type: 'known'; readonly retentionMs: number }
  /** Kafka refuses to tell. */
  | { readonly type: 'refused'; readonly reason: string }
  /** No broker has answered. */
  | { readonly type: 'unknown' }

const TIMEOUT_MS = 2_000
/** Added to the time limit of the promise: the Router itself answers within its own. */
const BELT_MS = 1_000

/** Asks Kafka. Never rejects. */
export const askForRetention =
  (router: ActorRef<RouterMessage>) =>
  async (topic: string): Promise<TopicRetention> => {
    try {
      const result = await ask<DescribeTopicConfigsResult>('retention of a topic', TIMEOUT_MS + BELT_MS, requester =>
        router.tell({
          type: 'describeTopicConfigs',
          topics: [topic],
          timeoutMs: TIMEOUT_MS,
          requester
        } as unknown as RouterMessage)
      )
      return toRetention(topic, result)
    } catch {
      return { type: 'unknown' }
    }
  }

function toRetention(topic: string, result: DescribeTopicConfigsResult): TopicRetention {
  if (result.type === 'failed') {
    return result.retriable === true ? { type: 'unknown' } : { type: 'refused', reason: result.message }
  }
  const configs = result.type === 'success' ? result.configs.get(topic) : undefined
  return configs === undefined ? { type: 'unknown' } : retentionOf(configs)
}

/** @param configs all settings of a topic, those that it has from its broker (`log.retention.ms`) included */
export function retentionOf(configs: ReadonlyMap<string, string | null>): TopicRetention {
  const policies = (configs.get('cleanup.policy') ?? 'delete').split(',').map(policy => policy.trim())
  const retentionMs = Number(configs.get('retention.ms') ?? Number.NaN)
  if (!policies.includes('delete') || configs.get('message.timestamp.type') === 'LogAppendTime' || retentionMs < 0) {
    return { type: 'known', retentionMs: Number.POSITIVE_INFINITY }
  }
  return Number.isNaN(retentionMs) ? { type: 'unknown' } : { type: 'known', retentionMs }
}
