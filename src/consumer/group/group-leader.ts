import { decodeSubscription, encodeAssignment, userDataOfSubscription } from '../../kafka/protocol/consumer-protocol.js'
import { decideStarts, type FirstAssigned } from './first-assignment.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import { lookUpPartitions, type OnPartitions, type PartitionsOf } from './partition-counts.js'
import { assignRanges, type Subscriber } from './range-assignment.js'
import { checksumOf, decodeBegun, encodeStarts, type GroupStarts, isOfCastellan } from './start-messages.js'

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

/** How soon topics are looked up again of which brokers could not tell anything. */
const UNCLEAR_CHECK_MS = 1_000

/** A member, and what it has told. */
interface Subscription extends Subscriber {
  /** Topics that the member has begun to read. */
  readonly begun: readonly string[]
  /** It is a member of this kind, which begins where the leader decides. */
  readonly isTold: boolean
}

/** What the leader of a group does for all: it decides who reads what, and notices when topics change. */
export class GroupLeader {
  readonly #runtime: GroupRuntime
  readonly #start: 'latest' | 'earliest'
  /** How many partitions the topics of the group had when they were assigned. */
  #counts: ReadonlyMap<string, number> = new Map()
  /** Of them, those whose partitions brokers could not tell; they keep the ones they had. */
  #unclear: readonly string[] = []
  #watch: Timer | undefined
  #recheck: Timer | undefined

  /** @param start where this process begins without a committed offset */
  constructor(runtime: GroupRuntime, start: 'latest' | 'earliest') {
    this.#runtime = runtime
    this.#start = start
  }

  /**
   * Calls back with the assignments of all members, or with `undefined` when no broker tells about the topics.
   *
   * @param leaderId the member of this process
   * @param begun whether it has begun to read a topic, since it joined too
   */
  assign(
    members: readonly JoinedMember[],
    leaderId: string,
    begun: (topic: string) => boolean,
    onAssigned: (assignments: readonly Assignment[] | undefined) => void
  ): void {
    const subscribers = members.map(subscriptionOf)
    const topicsOf = new Map(subscribers.map(({ memberId, topics }) => [memberId, topics]))
    const topics = [...new Set(subscribers.flatMap(subscriber => subscriber.topics))]
    this.#lookUp(topics, (found, unclear, denied, idOf, leaderlessIn) => {
      const before = this.#counts
      const isUnclear = new Set(unclear)
      const partitionsOf: PartitionsOf | undefined =
        found && (topic => (isUnclear.has(topic) ? firstOf(before.get(topic) ?? 0) : found(topic)))
      if (!partitionsOf) {
        onAssigned(undefined)
        return
      }
      this.#counts = new Map(topics.map(topic => [topic, partitionsOf(topic).length]))
      this.#unclear = unclear
      const told = new Set(subscribers.filter(({ isTold }) => isTold).flatMap(subscriber => subscriber.topics))
      const begunByOthers = new Set(subscribers.flatMap(subscriber => subscriber.begun))
      const first = topics
        .filter(
          topic => told.has(topic) && !begunByOthers.has(topic) && !begun(topic) && partitionsOf(topic).length > 0
        )
        .map((topic): FirstAssigned => {
          const leaderless = leaderlessIn(topic)
          return { topic, topicId: idOf(topic), partitions: partitionsOf(topic), leaderless }
        })
      const decided = ({ undecided, ends }: GroupStarts): void => {
        const open = new Set([...undecided, ...unclear, ...denied])
        onAssigned(
          Array.from(assignRanges(subscribers, partitionsOf), ([memberId, partitions]) => {
            const topics = topicsOf.get(memberId)!
            const from = { topics: checksumOf(topics), counts: memberId === leaderId ? this.#counts : undefined }
            const starts = { undecided: new Set(topics.filter(topic => open.has(topic))), ends }
            return { memberId, assignment: encodeAssignment(partitions, encodeStarts(starts, partitions, from)) }
          })
        )
      }
      if (this.#start === 'latest') decideStarts(this.#runtime, first, decided)
      else decided({ undecided: new Set(first.map(({ topic }) => topic)), ends: new Map() })
    })
  }

  /** The same for assignments that a former life of this member has made. */
  resume(counts: ReadonlyMap<string, number>, onChanged: () => void): void {
    this.#counts = counts
    this.#unclear = []
    this.watch(onChanged)
  }

  /** Calls back once a topic has got more partitions, or exists now. */
  watch(onChanged: () => void): void {
    this.stop()
    this.#watch = this.#runtime.watchTopics(this.#counts, onChanged)
    if (this.#unclear.length > 0) this.#checkSoon(onChanged)
  }

  stop(): void {
    this.#watch?.cancel()
    this.#watch = undefined
    this.#recheck?.cancel()
    this.#recheck = undefined
  }

  #checkSoon(onChanged: () => void): void {
    const recheck = this.#runtime.after(UNCLEAR_CHECK_MS, () =>
      this.#lookUp(this.#unclear, (partitionsOf, unclear) => {
        if (this.#recheck !== recheck) return
        const isChanged = (topic: string): boolean => partitionsOf!(topic).length > this.#counts.get(topic)!
        if (partitionsOf && this.#unclear.some(isChanged)) {
          this.stop()
          onChanged()
        } else {
          if (partitionsOf) this.#unclear = unclear
          if (this.#unclear.length > 0) this.#checkSoon(onChanged)
        }
      })
    )
    this.#recheck = recheck
  }

  #lookUp(topics: readonly string[], onFound: OnPartitions): void {
    lookUpPartitions((...question) => this.#runtime.ask('fetchTopicMetadata', ...question), topics, onFound)
  }
}

const firstOf = (count: number): readonly number[] => Array.from({ length: count }, (_, partition) => partition)

/** Members of other clients may send what cannot be read; they get nothing, and the others are assigned all the same. */
function subscriptionOf({ memberId, instanceId, metadata }: JoinedMember): Subscription {
  let topics: readonly string[] = []
  let begun: readonly string[] = []
  let isTold = false
  try {
    topics = decodeSubscription(metadata)
    const userData = userDataOfSubscription(metadata)
    isTold = isOfCastellan(userData)
    begun = decodeBegun(userData, topics)
  } catch {
    // What was decoded before the error counts.
  }
  return { memberId, instanceId, topics, begun, isTold }
}
