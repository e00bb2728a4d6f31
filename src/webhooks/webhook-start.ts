import { withMark } from '../consumer/group/ack-encoding.js'
import { isOfCastellan } from '../consumer/group/start-messages.js'
import type { ActorRef } from '../core/actor/actor.js'
import { NOTHING } from '../core/bytes.js'
import type { TopicPartition } from '../core/model.js'
import { errorCodes } from '../kafka/error-codes.js'
import { decodeSubscription, userDataOfSubscription } from '../kafka/protocol/consumer-protocol.js'
import { AS_STORED, type RouterMessage } from '../router/messages/operations.js'
import { askRouter, mapInPortions } from '../router/routing/ask-router.js'
import { groupOfWebhook, type WebhookDefinition } from './definition.js'
import { asLeader, KAFKA_TIMEOUT_MS, type MemberTimes } from './start-leader.js'

/** State of a webhook in Kafka. Everything `undefined`: no broker has answered. */
export interface KafkaState {
  readonly topicId: string | undefined
  readonly partitions: readonly number[]
  readonly isMissing: boolean
  /** Why the webhook cannot work. */
  readonly broken: string | undefined
  readonly foreignMember: boolean
}

type WebhookTopics = Pick<WebhookDefinition, 'name' | 'topic' | 'deadLetters'>
type Router = ActorRef<RouterMessage>

/** @returns `undefined`: no broker has answered */
export async function lookAtKafka(
  router: Router,
  { name, topic, deadLetters }: WebhookTopics
): Promise<KafkaState | undefined> {
  const topics = deadLetters === undefined ? [topic] : [topic, deadLetters]
  const [found, group] = await Promise.all([
    askRouter(router, { type: 'fetchTopicMetadata', topics, timeoutMs: KAFKA_TIMEOUT_MS }),
    askRouter(router, { type: 'describeGroup', groupId: groupOfWebhook(name), timeoutMs: KAFKA_TIMEOUT_MS })
  ])
  if (found.type !== 'success') return undefined
  const [known, letters] = topics.map(one => found.topics.get(one))
  const isMissing = known?.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  const isThere = known?.errorCode === errorCodes.NONE
  if (!isMissing && !isThere && known?.errorCode !== errorCodes.TOPIC_AUTHORIZATION_FAILED) return undefined
  const members = group.type === 'success' ? group.members : []
  return {
    topicId: known?.topicId,
    partitions: isThere ? known.partitions.map(({ partition }) => partition) : [],
    isMissing,
    broken: brokenBy(isMissing, isThere, known?.topicId),
    foreignMember: members.some(({ metadata = NOTHING }) => metadata.length > 0 && !isOfCastellan(userDataOf(metadata)))
  }

  function brokenBy(isMissing: boolean, isThere: boolean, topicId: string | undefined): string | undefined {
    if (deadLetters === topic) return 'the topic of dead letters is the topic itself'
    if (!isMissing && !isThere) return `Kafka does not let this gateway read ${topic}`
    if (isThere && topicId === undefined) return 'the brokers report no topic ids, which they do from Kafka 2.8 on'
    if (deadLetters !== undefined && letters?.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
      return `the topic of dead letters, ${deadLetters}, does not exist`
    return undefined
  }
}

function userDataOf(metadata: Buffer): Buffer {
  try {
    return userDataOfSubscription(metadata)
  } catch {
    return NOTHING
  }
}

/**
 * Commits where a webhook begins, in all partitions with one call, before its first member joins with the topic. A webhook that has
 * a commit or a member that reads the topic has begun before. Where several gateways begin at once, each leads the group for a
 * moment, one after another, and commits only if nothing is committed. So no record that is written after the commit is passed over.
 *
 * @returns false: it is not known, or not committed; to be tried again
 */
export async function commitStart(
  router: Router,
  { name, topic, start }: Pick<WebhookDefinition, 'name' | 'topic' | 'start'>,
  { topicId, partitions }: KafkaState,
  times: MemberTimes
): Promise<boolean> {
  const groupId = groupOfWebhook(name)
  const all = partitions.map((partition): TopicPartition => ({ topic, partition }))
  const begun = await hasBegun(router, groupId, all)
  if (begun !== false) return begun === true
  const bounds = await mapInPortions(all, topicPartition =>
    askRouter(router, { type: 'fetchOffset', topicPartition, offsetType: start, timeoutMs: KAFKA_TIMEOUT_MS })
  )
  const offsets = bounds.flatMap(bound => (bound.type === 'success' ? [bound.offset] : []))
  if (offsets.length < all.length) return false
  return asLeader(router, groupId, times, async ({ member, subscriptions }) => {
    if (subscriptions.some(isOfReader)) return true
    const isThere = await hasCommits(router, groupId, all)
    if (isThere !== false) return isThere === true
    const results = await askRouter(
      router,
      all.map((topicPartition, at) => ({
        type: 'commitConsumerOffset' as const,
        groupId,
        topicPartition,
        offsetAndMetadata: withMark({ offset: offsets[at]!, metadata: '' }, topicId),
        timeoutMs: KAFKA_TIMEOUT_MS,
        member,
        ...AS_STORED
      }))
    )
    return results.every(({ type }) => type === 'success')
  })
}

/** @returns `undefined`: it is not known */
async function hasBegun(
  router: Router,
  groupId: string,
  partitions: readonly TopicPartition[]
): Promise<boolean | undefined> {
  const isThere = await hasCommits(router, groupId, partitions)
  if (isThere !== false) return isThere
  const group = await askRouter(router, { type: 'describeGroup', groupId, timeoutMs: KAFKA_TIMEOUT_MS })
  if (group.type === 'notFound') return false
  // Kafka tells what members read only between rebalances; the leader learns it in any case.
  return group.type === 'success' ? group.members.some(({ metadata = NOTHING }) => isOfReader(metadata)) : undefined
}

async function hasCommits(
  router: Router,
  groupId: string,
  partitions: readonly TopicPartition[]
): Promise<boolean | undefined> {
  const committed = await mapInPortions(partitions, topicPartition =>
    askRouter(router, {
      type: 'fetchConsumerOffset',
      groupId,
      topicPartition,
      timeoutMs: KAFKA_TIMEOUT_MS,
      ...AS_STORED
    })
  )
  if (committed.some(({ type }) => type === 'success')) return true
  return committed.every(({ type }) => type === 'notFound') ? false : undefined
}

/** Whether a member reads topics: others only decide where the webhook begins. */
function isOfReader(subscription: Buffer): boolean {
  if (subscription.length === 0) return false
  try {
    return decodeSubscription(subscription).length > 0
  } catch {
    return true
  }
}
