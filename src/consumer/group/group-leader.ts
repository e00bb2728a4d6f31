import { addTo } from '../../core/maps.js'
import { type LogPosition, positionIn, type TopicPartition } from '../../core/model.js'
import { decodeSubscription, encodeAssignment, userDataOfSubscription } from '../../kafka/protocol/consumer-protocol.js'
import type { JoinedMember } from '../../kafka/protocol/groups.js'
import type { OffsetType } from '../../router/messages/operations.js'
import { askForEach } from '../../router/routing/ask-router.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import {
  checksumOf,
  decodeBegun,
  encodeStarts,
  type GroupStarts,
  isOfCastellan,
  type TopicEnds
} from './start-messages.js'
import { lookUpTopics } from './topic-look-ups.js'
import { type Committed, findCommitted } from './topic-start.js'

export interface AssignedMember {
  readonly memberId: string
  readonly assignment: Buffer
}

/** Pause before the next look-up of topics about which brokers gave no information. */
const UNCLEAR_CHECK_MS = 1_000

interface Subscription extends Subscriber {
  readonly begun: readonly string[]
  /** True: the member is a Castellan, which begins to read where the leader decides. */
  readonly isCastellan: boolean
}

/** The leader's part in a group: assigns partitions to all members, and notices when topics get more partitions. */
export class GroupLeader {
  readonly #runtime: GroupRuntime
  readonly #startOf: (topic: string) => OffsetType
  /** The number of partitions of each topic when the partitions were assigned. */
  #counts: ReadonlyMap<string, number> = new Map()
  /** Topics for which brokers could not report the partitions. The assignment of these topics does not change. */
  #unclear: readonly string[] = []
  #watch: Timer | undefined
  #recheck: Timer | undefined

  /** @param startOf where this process begins to read a topic if there is no committed offset */
  constructor(runtime: GroupRuntime, startOf: (topic: string) => OffsetType) {
    this.#runtime = runtime
    this.#startOf = startOf
  }

  /**
   * Calls back with the assignments of all members, or with `undefined` when no broker describes the topics.
   *
   * @param leaderId the member of this process
   * @param begun true when this member has begun to read a topic, even if it began after it joined
   */
  assign(
    members: readonly JoinedMember[],
    leaderId: string,
    begun: (topic: string) => boolean,
    onAssigned: (assignments: readonly AssignedMember[] | undefined) => void
  ): void {
    const subscribers = members.map(subscriptionOf)
    const topicsOf = new Map(subscribers.map(({ memberId, topics }) => [memberId, topics]))
    const topics = [...new Set(subscribers.flatMap(subscriber => subscriber.topics))]
    lookUpTopics(this.#runtime, topics, found => {
      if (!found) {
        onAssigned(undefined)
        return
      }
      const before = this.#counts
      const { unclear, denied } = found
      const unclearTopics = new Set(unclear)
      const partitionsOf = (topic: string): readonly number[] =>
        unclearTopics.has(topic) ? firstOf(before.get(topic) ?? 0) : found.partitionsOf(topic)
      this.#counts = new Map(topics.map(topic => [topic, partitionsOf(topic).length]))
      this.#unclear = unclear
      const first = notBegun(topics, subscribers)
        .filter(topic => !begun(topic) && partitionsOf(topic).length > 0)
        .map((topic): FirstAssigned => {
          const leaderless = found.leaderlessIn(topic)
          return { topic, topicId: found.idOf(topic), partitions: partitionsOf(topic), leaderless }
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
      const isAtEnd = ({ topic }: FirstAssigned): boolean => this.#startOf(topic) === 'latest'
      const elsewhere = first.filter(topic => !isAtEnd(topic)).map(({ topic }) => topic)
      decideStarts(this.#runtime, first.filter(isAtEnd), ({ undecided, ends }) =>
        decided({ undecided: new Set([...undecided, ...elsewhere]), ends })
      )
    })
  }

  /** Watches topics for an assignment that this static member made before it restarted. */
  resume(counts: ReadonlyMap<string, number>, onChanged: () => void): void {
    this.#counts = counts
    this.#unclear = []
    this.watch(onChanged)
  }

  /** Calls back when a topic has more partitions than before, or has been created. */
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
      lookUpTopics(this.#runtime, this.#unclear, found => {
        if (this.#recheck !== recheck) return
        const isChanged = (topic: string): boolean => found!.partitionsOf(topic).length > this.#counts.get(topic)!
        if (found && this.#unclear.some(isChanged)) {
          this.stop()
          onChanged()
        } else {
          if (found) this.#unclear = found.unclear
          if (this.#unclear.length > 0) this.#checkSoon(onChanged)
        }
      })
    )
    this.#recheck = recheck
  }
}

const firstOf = (count: number): readonly number[] => Array.from({ length: count }, (_, partition) => partition)

/**
 * The subscription of a member. A client that is not Castellan may send an unreadable subscription. Its member gets no
 * partitions, and all other members get partitions as usual.
 */
function subscriptionOf({ memberId, instanceId, metadata }: JoinedMember): Subscription {
  let topics: readonly string[] = []
  let begun: readonly string[] = []
  let isCastellan = false
  try {
    topics = decodeSubscription(metadata)
    const userData = userDataOfSubscription(metadata)
    isCastellan = isOfCastellan(userData)
    begun = decodeBegun(userData, topics)
  } catch {
    // Fields that were decoded before the error are used.
  }
  return { memberId, instanceId, topics, begun, isCastellan }
}

export interface Subscriber {
  readonly memberId: string
  /** Static members are sorted by this id, so that a restart does not change the assignment. */
  readonly instanceId: string | null
  readonly topics: readonly string[]
}

/**
 * Assigns partitions to members. The readers of a topic, in order, get equal ranges of its partitions. If the number is
 * not divisible, the first readers get one more partition.
 *
 *   7 partitions for a, b, c   =>   a: 0 1 2   b: 3 4   c: 5 6
 *
 * Every member is in the result. Topics that do not exist are left out.
 */
export function assignRanges(
  subscribers: readonly Subscriber[],
  partitionsOf: (topic: string) => readonly number[]
): ReadonlyMap<string, readonly TopicPartition[]> {
  const assignments = new Map<string, TopicPartition[]>(subscribers.map(({ memberId }) => [memberId, []]))
  const readersOf = byTopic([...subscribers].sort((one, other) => compare(sortKey(one), sortKey(other))))
  for (const [topic, readers] of [...readersOf].sort(([one], [other]) => compare(one, other))) {
    const runs = divide(
      [...partitionsOf(topic)].sort((one, other) => one - other),
      readers.length
    )
    readers.forEach(({ memberId }, at) => {
      const assigned = assignments.get(memberId)!
      for (const partition of runs[at]!) assigned.push({ topic, partition })
    })
  }
  return assignments
}

/** The topics that a Castellan reads and that no member has begun to read. */
function notBegun(topics: readonly string[], subscriptions: readonly Subscription[]): readonly string[] {
  const ofCastellan = new Set(subscriptions.filter(one => one.isCastellan).flatMap(one => one.topics))
  const begun = new Set(subscriptions.flatMap(one => one.begun))
  return topics.filter(topic => ofCastellan.has(topic) && !begun.has(topic))
}

/** The readers of each topic. A client that is not Castellan may name thousands of topics, and the same topic twice. */
function byTopic(subscribers: readonly Subscriber[]): ReadonlyMap<string, readonly Subscriber[]> {
  const readersOf = new Map<string, Subscriber[]>()
  for (const subscriber of subscribers)
    for (const topic of new Set(subscriber.topics)) addTo(readersOf, topic, subscriber)
  return readersOf
}

/**
 * Divides items into contiguous ranges. The first ranges are longer by one if necessary: `divide([0, 1, 2, 3], 3)` is
 * `[[0, 1], [2], [3]]`.
 */
function divide<T>(items: readonly T[], runs: number): readonly (readonly T[])[] {
  const length = Math.floor(items.length / runs)
  const longer = items.length % runs
  const startOf = (run: number): number => run * length + Math.min(run, longer)
  return Array.from({ length: runs }, (_, run) => items.slice(startOf(run), startOf(run + 1)))
}

const sortKey = ({ instanceId, memberId }: Subscriber): string => instanceId ?? memberId

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)

/**
 * Time limit for one answer. All topics of the group wait for it, so one slow leader must not delay them for long. A
 * healthy broker answers within 300 ms of the first connection. The limit is several times that: it allows for a change
 * of leaders, so that groups of a slow cluster do not begin at the earliest records.
 */
const ANSWER_MS = 1_500
/** Time limit for all answers. Requests for many partitions are made in portions. */
const DECISION_MS = 3_000
/** An assignment has the ends of at most this many partitions. Members look up the ends of further partitions. */
const MAX_PARTITIONS = 20_000

export interface FirstAssigned {
  readonly topic: string
  /** The id was looked up before the ends of the partitions, so the ends belong to this incarnation or a later one. */
  readonly topicId: string | undefined
  readonly partitions: readonly number[]
  /** Partitions without a leader, whose ends no broker can report. */
  readonly leaderless: ReadonlySet<number>
}

/**
 * Decides where a group begins in topics that no member has begun to read. It begins at the present ends of all
 * partitions, which are looked up before any member can answer a request. In topics in which the group has committed
 * before, it begins at the earliest records.
 *
 * A partition whose end cannot be found is also read from its earliest record, because records that the group must get
 * may be written before its end is known. The time limit is 1.5 s for each answer and 3 s for all, less than the first
 * requests wait for the group to begin.
 */
export function decideStarts(
  runtime: GroupRuntime,
  topics: readonly FirstAssigned[],
  onDecided: (starts: GroupStarts) => void
): void {
  const undecided = new Set<string>()
  const ends = new Map<string, TopicEnds>()
  let capacity = MAX_PARTITIONS
  const decisionEndsAt = runtime.clock() + DECISION_MS
  const leftMs = (): number => Math.min(ANSWER_MS, decisionEndsAt - runtime.clock())
  askForEach(
    topics,
    (first, answered) => {
      capacity -= first.partitions.length
      const partitions = first.partitions.map(partition => ({ topic: first.topic, partition }))
      if (capacity < 0) {
        undecided.add(first.topic)
        answered()
        return
      }
      const onCommitted = (committed: Committed): void => {
        if (committed === 'none') findEnds(runtime, first, leftMs, found)
        else {
          if (committed === 'unclear') undecided.add(first.topic)
          answered()
        }
      }
      findCommitted(runtime, partitions, onCommitted, leftMs)
      const found = (ofTopic: ReadonlyMap<number, LogPosition> | undefined): void => {
        if (ofTopic) ends.set(first.topic, { topicId: first.topicId, ends: ofTopic })
        else undecided.add(first.topic)
        answered()
      }
    },
    () => onDecided({ undecided, ends })
  )
}

/**
 * Looks up the ends of a topic; `undefined`: this is not permitted, so each member looks up the ends of its own
 * partitions.
 */
function findEnds(
  runtime: GroupRuntime,
  { topic, partitions, leaderless }: FirstAssigned,
  leftMs: () => number,
  onFound: (ends: ReadonlyMap<number, LogPosition> | undefined) => void
): void {
  const ends = new Map<number, LogPosition>()
  let isRefused = false
  askForEach(
    partitions.filter(partition => !leaderless.has(partition)),
    (partition, answered) => {
      const timeoutMs = leftMs()
      if (timeoutMs <= 0) {
        answered()
        return
      }
      runtime.ask('fetchOffset', { topicPartition: { topic, partition }, offsetType: 'latest', timeoutMs }, result => {
        if (result.type === 'success') ends.set(partition, positionIn(result))
        else if (result.type === 'failed') isRefused = true
        answered()
      })
    },
    () => {
      const unknown = partitions.length - ends.size
      if (!isRefused && unknown > 0) {
        runtime.log.warn(
          { topic, partitions: unknown },
          'partitions whose ends are not known are read from the beginning'
        )
      }
      onFound(isRefused ? undefined : ends)
    }
  )
}
