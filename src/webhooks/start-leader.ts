import { PROTOCOL } from '../consumer/group/group-member.js'
import type { ConsumerSettings } from '../consumer/group/settings.js'
import { encodeBegun } from '../consumer/group/start-messages.js'
import type { ActorRef } from '../core/actor/actor.js'
import { encodeSubscription } from '../kafka/protocol/consumer-protocol.js'
import type { GroupMembership, ResultOf, RouterMessage } from '../router/messages/operations.js'
import { askRouter } from '../router/routing/ask-router.js'

/** Time limit of a question to Kafka. */
export const KAFKA_TIMEOUT_MS = 10_000
/** The connection of this member. The one that reads has others. */
const CONNECTION = 'start'
/** A subscription without topics, so that this member gets no partition. */
const SUBSCRIPTION = encodeSubscription(
  [],
  encodeBegun([], () => false)
)

export type MemberTimes = Pick<ConsumerSettings, 'sessionTimeoutMs' | 'rebalanceTimeoutMs'>

export interface Leader {
  readonly member: GroupMembership
  /** The subscriptions of all members. */
  readonly subscriptions: readonly Buffer[]
}

/**
 * Joins a group without a topic, and works while this member leads it. A group has one leader in each generation, and Kafka takes
 * commits of the present generation only. So no other leader can commit between the moment when this one looks at the commits and
 * its own commit: the former leader has left before, or its commit is refused.
 *
 * @returns false: another member leads, or it is not known; nothing was done
 */
export async function asLeader(
  router: ActorRef<RouterMessage>,
  groupId: string,
  { sessionTimeoutMs, rebalanceTimeoutMs }: MemberTimes,
  work: (leader: Leader) => Promise<boolean>
): Promise<boolean> {
  const of = { groupId, connection: CONNECTION, instanceId: null }
  const join = (memberId: string): Promise<ResultOf<'joinGroup'>> =>
    askRouter(router, {
      type: 'joinGroup',
      ...of,
      memberId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocols: [{ name: PROTOCOL, metadata: SUBSCRIPTION }],
      timeoutMs: 2 * rebalanceTimeoutMs
    })
  const first = await join('')
  const promised = first.type === 'memberIdRequired' ? first.memberId : undefined
  const joined = promised === undefined ? first : await join(promised)
  const memberId = joined.type === 'success' ? joined.memberId : promised
  if (memberId === undefined) return false
  try {
    if (joined.type !== 'success') return false
    const { generationId, leaderId, members } = joined
    // Once it is answered, all commits of former generations are known.
    const synced = await askRouter(router, {
      type: 'syncGroup',
      ...of,
      memberId,
      generationId,
      rebalanceTimeoutMs,
      assignments: [],
      timeoutMs: KAFKA_TIMEOUT_MS
    })
    if (synced.type !== 'success' || leaderId !== memberId) return false
    const subscriptions = members.map(({ metadata }) => metadata)
    return await work({ member: { memberId, generationId, instanceId: null }, subscriptions })
  } finally {
    await askRouter(router, { type: 'leaveGroup', ...of, memberId, timeoutMs: KAFKA_TIMEOUT_MS })
  }
}
