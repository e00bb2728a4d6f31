import type { ActorRef } from '../core/actor/actor.js'
import { ask } from '../core/actor/requester.js'
import type { Logger, MonotonicClock } from '../core/model.js'
import { CONSUMER_PROTOCOL_TYPE, decodeAssignment, decodeAssignmentOf } from '../kafka/protocol/consumer-protocol.js'
import type {
  DescribeGroup,
  DescribeGroupResult,
  ListGroups,
  ListGroupsResult
} from '../router/messages/group-description.js'
import type { RouterMessage } from '../router/messages/operations.js'
import { askRouter } from '../router/routing/ask-router.js'
import type { GroupReader, ReadersOnly } from './gateway.js'
import { toError } from './group-offsets.js'
import { TimeLimit } from './time-limit.js'

/** Brokers that come and go change who has to be asked. */
const LISTING_ATTEMPTS = 3
/**
 * Groups that are described at a time. Kafka keeps a group in one record, of 1 MB at most by default: so much of each is in
 * memory until what is asked for has been made of it.
 */
const GROUPS_AT_ONCE = 40
/** Most partitions that are told at a time: as many as a cluster of Kafka has. Members beyond are told without any. */
const MAX_PARTITIONS = 200_000
/** Of each group, so many are told all the same: those before it may be of clients that write what they like. */
const RESERVED_OF_GROUP = 1_000
/** Members and partitions that are read in one turn of the event loop; a member that has more is read at once. */
const MAX_PER_TURN = 10_000
/** Of an assignment: a topic that is skipped, or a partition, takes at least so many. */
const BYTES_OF_ITEM = 6
// The Router itself answers timedOut at the deadline. This margin is for a Router that has stopped.
const MARGIN_MS = 1_000

type DescribedMember = (DescribeGroupResult & { type: 'success' })['members'][number]

export interface GroupReadersDeps {
  readonly router: ActorRef<RouterMessage>
  readonly log: Logger
  readonly timeoutMs: number
  readonly clock: MonotonicClock
}

/** Finds who reads what on behalf of consumer groups, by requests to the Router, all of them within one time limit. */
export class GroupReaders {
  readonly #router: ActorRef<RouterMessage>
  readonly #log: Logger
  readonly #limit: TimeLimit
  readonly #only: ReadersOnly
  #told = 0
  #inTurn = 0

  constructor({ router, log, timeoutMs, clock }: GroupReadersDeps, only: ReadersOnly) {
    this.#router = router
    this.#log = log
    this.#limit = new TimeLimit(timeoutMs, clock)
    this.#only = only
  }

  async read(groups: readonly string[] | 'all'): Promise<ReadonlyMap<string, readonly GroupReader[]>> {
    const isAll = groups === 'all'
    const { includes = () => true } = this.#only
    const groupIds = (isAll ? await this.#allGroups() : [...new Set(groups)]).filter(includes)
    const found = new Map<string, readonly GroupReader[]>()
    for (let start = 0; start < groupIds.length; start += GROUPS_AT_ONCE) {
      const portion = groupIds.slice(start, start + GROUPS_AT_ONCE)
      const described = await Promise.all(portion.map(groupId => this.#membersOf(groupId, isAll)))
      for (const [at, groupId] of portion.entries()) {
        const readers = await this.#readersFrom(described[at]!)
        if (readers.length > 0) found.set(groupId, readers)
      }
    }
    return found
  }

  /** Consumer groups with members. Every broker tells those that it coordinates. */
  async #allGroups(): Promise<string[]> {
    for (let attempt = 1; ; attempt++) {
      const nodeIds = await this.#brokers()
      const lists = await Promise.all(nodeIds.map(nodeId => this.#groupsOf(nodeId, attempt === LISTING_ATTEMPTS)))
      if (lists.every(list => list !== undefined)) return [...new Set(lists.flat())].sort()
    }
  }

  async #brokers(): Promise<number[]> {
    const request = {
      type: 'fetchTopicMetadata',
      requestId: 0,
      topics: [],
      timeoutMs: this.#limit.remainingMs
    } as const
    const result = await askRouter(this.#router, request)
    if (result.type !== 'success') throw toError(result, 'which brokers there are', this.#limit.timeoutMs)
    return result.brokers.map(({ nodeId }) => nodeId)
  }

  /** @returns `undefined`: the broker has gone, and other brokers have taken its groups */
  async #groupsOf(nodeId: number, isLastAttempt: boolean): Promise<string[] | undefined> {
    const result = await this.#ask<ListGroups, ListGroupsResult>({ type: 'listGroups', nodeId })
    if (result.type === 'success') {
      return result.groups
        .filter(({ protocolType }) => protocolType === CONSUMER_PROTOCOL_TYPE)
        .map(({ groupId }) => groupId)
    }
    if (result.type === 'failed' && result.code === 'brokerUnreachable' && !isLastAttempt) return undefined
    throw toError(result, `the groups of broker ${nodeId}`, this.#limit.timeoutMs)
  }

  async #membersOf(groupId: string, isOneOfAll: boolean): Promise<readonly DescribedMember[]> {
    const result = await this.#ask<DescribeGroup, DescribeGroupResult>({ type: 'describeGroup', groupId })
    if (result.type === 'notFound') return []
    if (result.type === 'success') return result.protocolType === CONSUMER_PROTOCOL_TYPE ? result.members : []
    if (!isOneOfAll || result.type === 'timedOut' || result.retriable) {
      throw toError(result, `the members of group ${groupId}`, this.#limit.timeoutMs)
    }
    if (result.code !== 'notAuthorized') {
      this.#log.warn({ group: groupId, reason: result.message }, 'a consumer group cannot be read; lists leave it out')
    }
    return []
  }

  /** Any client can be a member, and write whatever it likes: as little at a time, and not much more in all, is made of it. */
  async #readersFrom(members: readonly DescribedMember[]): Promise<readonly GroupReader[]> {
    const readers: GroupReader[] = []
    let ofGroup = 0
    for (const { memberId, instanceId, clientId, clientHost, assignment } of members) {
      const isFull = this.#told >= MAX_PARTITIONS
      const mayBeTold = !isFull || ofGroup < RESERVED_OF_GROUP
      let partitions: ReadonlyMap<string, readonly number[]> = new Map()
      if (mayBeTold) partitions = partitionsIn(assignment, this.#only.topic)
      let count = 0
      for (const ofTopic of partitions.values()) count += ofTopic.length
      if (isFull && ofGroup + count > RESERVED_OF_GROUP) {
        partitions = new Map()
        count = 0
      }
      ofGroup += count
      this.#told += count
      this.#inTurn += 1 + Math.max(count, assignment.length / BYTES_OF_ITEM)
      readers.push({ memberId, instanceId, clientId, clientHost, partitions })
      if (this.#inTurn < MAX_PER_TURN) continue
      this.#inTurn = 0
      await nextTurn()
    }
    return readers
  }

  #ask<Request extends DescribeGroup | ListGroups, Result>(
    request: Omit<Request, 'requester' | 'timeoutMs'>
  ): Promise<Result> {
    const timeoutMs = this.#limit.remainingMs
    return ask<Result>(String((request as Request).type), timeoutMs + MARGIN_MS, requester =>
      this.#router.tell({ ...request, timeoutMs, requester } as unknown as RouterMessage)
    )
  }
}

/**
 * In ascending order by topic. Clients may write what cannot be read: such a member reads nothing that we know of.
 *
 * @param topic `undefined`: all of them
 */
function partitionsIn(assignment: Buffer, topic: string | undefined): ReadonlyMap<string, readonly number[]> {
  const partitions = new Map<string, number[]>()
  try {
    if (topic !== undefined) {
      const ofTopic = [...decodeAssignmentOf(assignment, topic)]
      if (ofTopic.length > 0) partitions.set(topic, ofTopic)
    } else {
      for (const one of decodeAssignment(assignment)) {
        const ofTopic = partitions.get(one.topic)
        if (ofTopic === undefined) partitions.set(one.topic, [one.partition])
        else ofTopic.push(one.partition)
      }
    }
  } catch {
    return new Map()
  }
  for (const ofTopic of partitions.values()) ofTopic.sort((one, other) => one - other)
  return partitions
}

/** Of the event loop. */
const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
