import type { ActorRef } from '../core/actor/actor.js'
import { KafkaError } from '../core/errors.js'
import { addTo } from '../core/maps.js'
import type { Logger, MonotonicClock } from '../core/model.js'
import { nextTick } from '../core/portions.js'
import { errorCodes } from '../kafka/error-codes.js'
import { CONSUMER_PROTOCOL_TYPE, decodeAssignment, decodeAssignmentOf } from '../kafka/protocol/consumer-protocol.js'
import type { ConsumerMember } from '../kafka/protocol/groups.js'
import type { ResultOf, RouterMessage } from '../router/messages/operations.js'
import { askRouter } from '../router/routing/ask-router.js'
import { requireAnswer } from './kafka-admin.js'
import { TimeLimit, toError } from './offsets.js'
import type { ShareGroupDescription } from './share-groups.js'
import type { GroupDescription, GroupReader, ReadersOnly } from './verbs.js'

/** Maximum number of attempts to list the groups. An attempt fails when a broker leaves the cluster in the meantime. */
const LISTING_ATTEMPTS = 3
/**
 * Number of groups that are described at the same time. Their descriptions are in memory until they are decoded. A
 * description has about 1 MB at most, because Kafka stores a group in one record, of 1 MB at most by default.
 */
const GROUPS_AT_ONCE = 40
/**
 * Maximum number of partitions in one result. A Kafka cluster has at most about this many. When the limit is reached,
 * further members are returned without partitions.
 */
const MAX_PARTITIONS = 200_000
/**
 * Partitions that a group may still return after that limit is reached. Members of other groups can use up the limit,
 * because a member can claim partitions that do not exist.
 */
const RESERVED_OF_GROUP = 1_000
/**
 * Maximum number of members and partitions that are decoded in one tick. A single member is always decoded in one tick.
 */
const MAX_PER_TURN = 10_000
const SHARE_PROTOCOL_TYPE = 'share'
/** The protocol type of a group that no member has joined. */
const NO_PROTOCOL_TYPE = ''
/** A lower bound of the bytes that a topic or a partition takes in an assignment. */
const BYTES_OF_ITEM = 6

type DescribedClassicGroup = ResultOf<'describeGroup'> & { type: 'success' }
type DescribedConsumerGroup = ResultOf<'describeConsumerGroup'> & { type: 'success' }
type AnyGroupMember = DescribedClassicGroup['members'][number] | ConsumerMember

export interface GroupReadersDeps {
  readonly router: ActorRef<RouterMessage>
  readonly log: Logger
  readonly timeoutMs: number
  readonly clock: MonotonicClock
}

/**
 * Finds the members of consumer groups and their partitions by requests to the Router. One time limit applies to all
 * requests together.
 */
export class GroupReaders {
  readonly #router: ActorRef<RouterMessage>
  readonly #log: Logger
  readonly #limit: TimeLimit
  readonly #only: ReadersOnly
  #returned = 0
  #inTurn = 0

  constructor({ router, log, timeoutMs, clock }: GroupReadersDeps, only: ReadersOnly) {
    this.#router = router
    this.#log = log
    this.#limit = new TimeLimit(timeoutMs, clock)
    this.#only = only
  }

  /** The members of groups. A group without members is absent. */
  async read(groups: readonly string[] | 'all'): Promise<ReadonlyMap<string, readonly GroupReader[]>> {
    const found = new Map<string, readonly GroupReader[]>()
    for await (const { groupId, described } of this.#described(groups, [CONSUMER_PROTOCOL_TYPE])) {
      const readers = await this.#readersFrom(described.members)
      if (readers.length > 0) found.set(groupId, readers)
    }
    return found
  }

  /** Groups as their coordinators describe them. A group that no coordinator knows is absent. */
  async describe(groups: readonly string[] | 'all'): Promise<ReadonlyMap<string, GroupDescription>> {
    const found = new Map<string, GroupDescription>()
    for await (const { groupId, described } of this.#described(groups, [CONSUMER_PROTOCOL_TYPE, NO_PROTOCOL_TYPE])) {
      const { state, coordinatorId } = described
      const members = await this.#readersFrom(described.members)
      const common = { groupId, state, coordinatorId, members }
      if ('assignor' in described) {
        const isMixed = described.members.some(({ protocol }) => protocol !== 'consumer')
        found.set(groupId, { ...common, type: 'consumer', assignor: described.assignor, isSimple: false, isMixed })
      } else {
        const isSimple = described.protocolType === NO_PROTOCOL_TYPE
        found.set(groupId, { ...common, type: 'classic', assignor: described.protocol, isSimple, isMixed: false })
      }
    }
    return found
  }

  /** Share groups as their coordinators describe them. A group that is of another kind, or that no coordinator knows, is absent. */
  async describeShareGroups(groups: readonly string[] | 'all'): Promise<ReadonlyMap<string, ShareGroupDescription>> {
    const groupIds = groups === 'all' ? await this.shareGroupNames() : [...new Set(groups)]
    const found = new Map<string, ShareGroupDescription>()
    for (let start = 0; start < groupIds.length; start += GROUPS_AT_ONCE) {
      const portion = groupIds.slice(start, start + GROUPS_AT_ONCE)
      const all = await Promise.all(portion.map(groupId => this.shareGroup(groupId).catch(noneIfUnsupported)))
      for (const described of all) if (described !== undefined) found.set(described.groupId, described)
    }
    return found
  }

  /** In their order. Each broker lists the groups that it coordinates. */
  shareGroupNames(): Promise<string[]> {
    return this.#allGroups([SHARE_PROTOCOL_TYPE], false)
  }

  /** @returns `undefined`: no coordinator knows such a share group. @throws KafkaError 35 where Kafka has no share groups */
  async shareGroup(groupId: string): Promise<ShareGroupDescription | undefined> {
    const asked = { type: 'describeShareGroup', groupId, timeoutMs: this.#limit.remainingMs } as const
    const result = await askRouter(this.#router, asked)
    if (result.type === 'notFound') return undefined
    const what = `the description of share group ${groupId}`
    const { state, coordinatorId, ...found } = requireAnswer(result, what, this.#limit.timeoutMs)
    const members = found.members.map(({ memberId, clientId, clientHost, assignment: partitions }) => {
      return { memberId, clientId, clientHost, partitions }
    })
    return { groupId, state, coordinatorId, members }
  }

  /** Describes groups of these protocol types and of the protocol of KIP-848, a few at a time. */
  async *#described(groups: readonly string[] | 'all', types: readonly string[]) {
    const isAll = groups === 'all'
    const { includes = () => true } = this.#only
    const groupIds = (isAll ? await this.#allGroups(types) : [...new Set(groups)]).filter(includes)
    for (let start = 0; start < groupIds.length; start += GROUPS_AT_ONCE) {
      const portion = groupIds.slice(start, start + GROUPS_AT_ONCE)
      const all = await Promise.all(portion.map(groupId => this.#groupOf(groupId, isAll)))
      for (const [at, groupId] of portion.entries()) {
        const described = all[at]
        if (described === undefined) continue
        if ('assignor' in described || types.includes(described.protocolType)) yield { groupId, described }
      }
    }
  }

  /** Lists the groups of these protocol types; groups without a protocol type have no members. Each broker lists the groups that it coordinates. */
  async #allGroups(types: readonly string[], withMembers = !types.includes(NO_PROTOCOL_TYPE)): Promise<string[]> {
    for (let attempt = 1; ; attempt++) {
      const nodeIds = await this.#brokers()
      const isLast = attempt === LISTING_ATTEMPTS
      const lists = await Promise.all(nodeIds.map(nodeId => this.#groupsOf(nodeId, types, withMembers, isLast)))
      if (lists.every(list => list !== undefined)) return [...new Set(lists.flat())].sort()
    }
  }

  async #brokers(): Promise<number[]> {
    const asked = { topics: [], timeoutMs: this.#limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'fetchTopicMetadata', ...asked })
    if (result.type !== 'success') throw toError(result, 'the request for the brokers', this.#limit.timeoutMs)
    return result.brokers.map(({ nodeId }) => nodeId)
  }

  /** @returns `undefined`: the broker has left the cluster, and other brokers now coordinate its groups */
  async #groupsOf(
    nodeId: number,
    types: readonly string[],
    withMembers: boolean,
    isLastAttempt: boolean
  ): Promise<string[] | undefined> {
    const asked = { type: 'listGroups', nodeId, withMembers, timeoutMs: this.#limit.remainingMs } as const
    const result = await askRouter(this.#router, asked)
    if (result.type === 'success') {
      return result.groups.filter(({ protocolType }) => types.includes(protocolType)).map(({ groupId }) => groupId)
    }
    if (result.type === 'failed' && result.code === 'brokerUnreachable' && !isLastAttempt) return undefined
    throw toError(result, `the request for the groups of broker ${nodeId}`, this.#limit.timeoutMs)
  }

  /** @returns `undefined`: no coordinator knows the group, or it is left out of a list of all groups */
  async #groupOf(
    groupId: string,
    isOneOfAll: boolean
  ): Promise<DescribedClassicGroup | DescribedConsumerGroup | undefined> {
    const asked = { groupId, timeoutMs: this.#limit.remainingMs }
    const classic = await askRouter(this.#router, { type: 'describeGroup', ...asked })
    // DescribeGroups reports a group of the protocol of KIP-848 as unknown.
    const result = classic.type === 'notFound' ? await this.#consumerGroupOf(groupId) : classic
    if (result.type === 'notFound') return undefined
    if (result.type === 'success') return result
    if (!isOneOfAll || result.type === 'timedOut' || result.retriable) {
      throw toError(result, `the request for the members of group ${groupId}`, this.#limit.timeoutMs)
    }
    if (result.code !== 'notAuthorized') {
      this.#log.warn({ group: groupId, reason: result.message }, 'a consumer group cannot be read; lists leave it out')
    }
    return undefined
  }

  async #consumerGroupOf(groupId: string): Promise<ResultOf<'describeConsumerGroup'>> {
    const asked = { type: 'describeConsumerGroup', groupId, timeoutMs: this.#limit.remainingMs } as const
    const result = await askRouter(this.#router, asked)
    const isUnsupported = result.type === 'failed' && result.errorCode === errorCodes.UNSUPPORTED_VERSION
    // A broker that does not have the request has no such groups.
    return isUnsupported ? { type: 'notFound' } : result
  }

  /**
   * Decodes the assignments of members. Any client can be a member and choose the content of its assignment, so the
   * work of one tick and the number of partitions are limited.
   */
  async #readersFrom(members: readonly AnyGroupMember[]): Promise<readonly GroupReader[]> {
    const readers: GroupReader[] = []
    let ofGroup = 0
    for (const member of members) {
      const { memberId, instanceId, clientId, clientHost } = member
      const isFull = this.#returned >= MAX_PARTITIONS
      const mayBeReturned = !isFull || ofGroup < RESERVED_OF_GROUP
      let partitions: ReadonlyMap<string, readonly number[]> = new Map()
      if (mayBeReturned) partitions = partitionsOf(member, this.#only.topic)
      let count = 0
      for (const ofTopic of partitions.values()) count += ofTopic.length
      if (isFull && ofGroup + count > RESERVED_OF_GROUP) {
        partitions = new Map()
        count = 0
      }
      ofGroup += count
      this.#returned += count
      this.#inTurn += 1 + Math.max(count, 'assignment' in member ? member.assignment.length / BYTES_OF_ITEM : 0)
      readers.push({ memberId, instanceId, clientId, clientHost, partitions })
      if (this.#inTurn < MAX_PER_TURN) continue
      this.#inTurn = 0
      await nextTick()
    }
    return readers
  }
}

function partitionsOf(member: AnyGroupMember, topic: string | undefined): ReadonlyMap<string, readonly number[]> {
  if ('assignment' in member) return partitionsIn(member.assignment, topic)
  const ofTopics = [...member.partitions].filter(([name]) => topic === undefined || name === topic)
  return new Map(ofTopics.map(([name, partitions]) => [name, [...partitions].sort((one, other) => one - other)]))
}

/**
 * The partitions in an assignment, in ascending order by topic. A member whose assignment cannot be decoded has none.
 * @param topic `undefined`: all topics
 */
function partitionsIn(assignment: Buffer, topic: string | undefined): ReadonlyMap<string, readonly number[]> {
  const partitions = new Map<string, number[]>()
  try {
    if (topic !== undefined) {
      const ofTopic = [...decodeAssignmentOf(assignment, topic)]
      if (ofTopic.length > 0) partitions.set(topic, ofTopic)
    } else for (const one of decodeAssignment(assignment)) addTo(partitions, one.topic, one.partition)
  } catch {
    return new Map()
  }
  for (const ofTopic of partitions.values()) ofTopic.sort((one, other) => one - other)
  return partitions
}

/** A broker that does not have the request has no such groups. */
function noneIfUnsupported(error: unknown): undefined {
  if (error instanceof KafkaError && error.errorCode === errorCodes.UNSUPPORTED_VERSION) return undefined
  throw error
}
