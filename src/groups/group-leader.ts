import { decodeSubscription, encodeAssignment } from '../wire/protocol/consumer-protocol.js'
import type { GroupHands, Timer } from './hands.js'
import { lookUpPartitions, type PartitionsOf } from './partition-counts.js'
import { assignRanges, type Subscriber } from './range-assignment.js'

/** A member as the coordinator describes it to the leader. */
export interface JoinedMember {
  readonly memberId: string
  readonly instanceId: string | null
  /** Its subscription. */
  readonly metadata: Buffer
}

export interface Assignment {
  readonly memberId: string
  readonly assignment: Buffer
}

/** What the leader of a group does for all: it decides who reads what, and notices when topics change. */
export class GroupLeader {
  readonly #hands: GroupHands
  /** How many partitions the topics of the group had when they were assigned. */
  #counts: ReadonlyMap<string, number> = new Map()
  #watch: Timer | undefined

  constructor(hands: GroupHands) {
    this.#hands = hands
  }

  /** Calls back with the assignments of all members, or with `undefined` when no broker tells about the topics. */
  assign(members: readonly JoinedMember[], onAssigned: (assignments: readonly Assignment[] | undefined) => void): void {
    const subscribers = members.map(member => ({ ...member, topics: topicsOf(member.metadata) }))
    const topics = [...new Set(subscribers.flatMap(subscriber => subscriber.topics))]
    const ask: Parameters<typeof lookUpPartitions>[0] = (...question) =>
      this.#hands.ask('fetchTopicMetadata', ...question)
    lookUpPartitions(ask, topics, partitionsOf => {
      if (partitionsOf) this.#counts = new Map(topics.map(topic => [topic, partitionsOf(topic).length]))
      onAssigned(partitionsOf && encodeAll(subscribers, partitionsOf))
    })
  }

  /** Calls back once a topic has got more partitions, or exists now. */
  watch(onChanged: () => void): void {
    this.stop()
    this.#watch = this.#hands.watchTopics(this.#counts, onChanged)
  }

  stop(): void {
    this.#watch?.cancel()
    this.#watch = undefined
  }
}

/** Members of other clients may send what cannot be read; they get nothing, and the others are assigned all the same. */
function topicsOf(metadata: Buffer): readonly string[] {
  try {
    return decodeSubscription(metadata)
  } catch {
    return []
  }
}

const encodeAll = (subscribers: readonly Subscriber[], partitionsOf: PartitionsOf): readonly Assignment[] =>
  Array.from(assignRanges(subscribers, partitionsOf), ([memberId, partitions]) => ({
    memberId,
    assignment: encodeAssignment(partitions)
  }))
