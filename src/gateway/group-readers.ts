import type { ActorRef } from '../actor/actor.js'
import { ask } from '../actor/requester.js'
import type { MonotonicClock, TopicPartition } from '../model.js'
import type {
  DescribeGroup,
  DescribeGroupResult,
  ListGroups,
  ListGroupsResult
} from '../operations/group-description.js'
import type { RouterMessage } from '../operations.js'
import { mapInPortions } from '../requests/portions.js'
import { askRouter } from '../router/ask-router.js'
import { CONSUMER_PROTOCOL_TYPE, decodeAssignment } from '../wire/protocol/consumer-protocol.js'
import type { GroupReader } from './gateway.js'
import { toError } from './group-offsets.js'
import { TimeLimit } from './time-limit.js'

/** Brokers that come and go change who has to be asked. */
const LISTING_ATTEMPTS = 3
/** Most partitions of one group that are told: as many as a cluster of Kafka has. Members beyond are told without any. */
const MAX_PARTITIONS_OF_GROUP = 200_000
/** Members and partitions that are read in one turn of the event loop; a member that has more is read at once. */
const MAX_PER_TURN = 10_000
// The Router itself answers timedOut at the deadline. This margin is for a Router that has stopped.
const MARGIN_MS = 1_000

type DescribedMember = (DescribeGroupResult & { type: 'success' })['members'][number]

/** Finds who reads what on behalf of consumer groups, by requests to the Router, all of them within one time limit. */
export class GroupReaders {
  readonly #router: ActorRef<RouterMessage>
  readonly #limit: TimeLimit

  constructor(router: ActorRef<RouterMessage>, timeoutMs: number, clock: MonotonicClock) {
    this.#router = router
    this.#limit = new TimeLimit(timeoutMs, clock)
  }

  async read(groups: readonly string[] | 'all'): Promise<ReadonlyMap<string, readonly GroupReader[]>> {
    const groupIds = groups === 'all' ? await this.#allGroups() : [...new Set(groups)]
    const described = await mapInPortions(groupIds, async groupId => {
      return [groupId, await this.#readersOf(groupId, groups === 'all')] as const
    })
    return new Map(described.filter(([, readers]) => readers.length > 0))
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

  async #readersOf(groupId: string, omitsForbidden: boolean): Promise<readonly GroupReader[]> {
    const result = await this.#ask<DescribeGroup, DescribeGroupResult>({ type: 'describeGroup', groupId })
    if (result.type === 'notFound') return []
    if (result.type === 'success') {
      return result.protocolType === CONSUMER_PROTOCOL_TYPE ? readersFrom(result.members) : []
    }
    if (omitsForbidden && result.type === 'failed' && result.code === 'notAuthorized') return []
    throw toError(result, `the members of group ${groupId}`, this.#limit.timeoutMs)
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

/** Any client can be a member, and write whatever it likes: as little at a time, and no more in all, is made of it. */
async function readersFrom(members: readonly DescribedMember[]): Promise<readonly GroupReader[]> {
  const readers: GroupReader[] = []
  let [inAll, inTurn] = [0, 0]
  for (const { memberId, instanceId, clientId, clientHost, assignment } of members) {
    const assigned = inAll < MAX_PARTITIONS_OF_GROUP ? assignedBy(assignment) : []
    inAll += assigned.length
    inTurn += 1 + assigned.length
    readers.push({ memberId, instanceId, clientId, clientHost, partitions: byNumber(assigned) })
    if (inTurn < MAX_PER_TURN) continue
    inTurn = 0
    await nextTurn()
  }
  return readers
}

function byNumber(assigned: readonly TopicPartition[]): ReadonlyMap<string, readonly number[]> {
  const partitions = new Map<string, number[]>()
  for (const { topic, partition } of assigned) {
    const ofTopic = partitions.get(topic)
    if (ofTopic === undefined) partitions.set(topic, [partition])
    else ofTopic.push(partition)
  }
  for (const ofTopic of partitions.values()) ofTopic.sort((one, other) => one - other)
  return partitions
}

/** Clients may write what cannot be read: such a member reads nothing that we know of. */
function assignedBy(assignment: Buffer): ReturnType<typeof decodeAssignment> {
  try {
    return decodeAssignment(assignment)
  } catch {
    return []
  }
}

/** Of the event loop. */
const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
