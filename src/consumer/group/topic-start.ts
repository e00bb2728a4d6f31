import type { LogPosition, TopicPartition } from '../../core/model.js'
import { AS_STORED, type OffsetType } from '../../router/messages/operations.js'
import { askForEach } from '../../router/routing/ask-router.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import { hasBegunIn, type TopicEnds } from './start-messages.js'
import { lookUpTopics } from './topic-look-ups.js'

const TIMEOUT_MS = 5_000
/** The state of a group in which the coordinator reports the subscriptions of members. */
const STABLE = 'Stable'
/**
 * Longest wait for the end of a rebalance. During a rebalance the coordinator does not report what members have begun
 * to read.
 */
const JOINING_MS = 60_000

/** The answer to the question whether a group has a committed offset in any of some partitions. */
export type Committed = 'some' | 'none' | 'unclear'

/**
 * The answer to the question whether any member has begun to read a topic. `unclear`: the group was rebalancing during
 * all attempts.
 */
type Begun = 'yes' | 'no' | 'unclear'

/** @param leftMs time limit for the next answer; if it is 0 or less, no further request is made */
export function findCommitted(
  { groupId, ask }: GroupRuntime,
  partitions: readonly TopicPartition[],
  onFound: (committed: Committed) => void,
  leftMs: () => number = () => TIMEOUT_MS
): void {
  let committed: Committed = 'none'
  askForEach(
    partitions,
    (topicPartition, answered) => {
      const timeoutMs = leftMs()
      if (timeoutMs <= 0) {
        if (committed === 'none') committed = 'unclear'
        answered(true)
        return
      }
      const request = { groupId, topicPartition, timeoutMs, ...AS_STORED, requireStable: true }
      ask('fetchConsumerOffset', request, ({ type }) => {
        if (type === 'success') committed = 'some'
        else if (type !== 'notFound' && committed === 'none') committed = 'unclear'
        answered(committed === 'some')
      })
    },
    () => onFound(committed)
  )
}

export type Start =
  | OffsetType
  /** `topicId`: the incarnation to which the offset belongs. Another incarnation is read from its earliest record. */
  | (LogPosition & { readonly topicId: string | undefined })

/** Calls back when the start is known. A later call may give another start. */
export type FindStart = (onStart: (start: Start) => void) => void

/**
 * The leader's decision on a topic: begin at these ends, or at the earliest records; `undefined`: there is no decision.
 */
export type LeadersDecision = TopicEnds | 'earliest' | undefined

/**
 * The start of reading in one topic. With `earliest`, every partition without a committed offset begins at its earliest
 * record, and with a time at the first record from then on. With `latest`, such a partition begins at its end, but only
 * until the group has begun. As soon as a request for the topic may be answered, it begins at its earliest record, because
 * records may have been written since. This also holds after Kafka has deleted the commits together with their topic.
 *
 * Where a partition begins (`decided`, then `find`) and what may be answered follow from each other:
 *
 *   decided ─▶ find ─▶ a commit, or the earliest record ─▶ PartitionConsumer.isStartFixed
 *                                   │ of all partitions
 *                                   ▼
 *              TopicConsumer.beginIfFixed, or 5 s have passed since partitions were assigned
 *                                   ▼
 *              TopicConsumer.begin ─▶ isBegun (messages are given) ───────┐
 *   lent by another gateway: noteBegun ─▶ begunElsewhere ─────────────────┼─▶ isFixed (endWaitsForStart) ─┬─▶ excludesLatest
 *   joining takes long: whenCommitted ─▶ a commit, or a member has begun ─┤                               │   = hasBegun of
 *   the setting is not `latest` ──────────────────────────────────────────┘                               │   GroupConsumer
 *   the topic did not exist: missing ─────────────────────────────────────────────────────────────────────┘
 */
export class TopicStart {
  readonly setting: OffsetType
  readonly #runtime: GroupRuntime
  readonly #topic: string
  readonly #retryBackoffMs: number
  /** Callers that ask whether the group has begun to read the topic. They share one look-up. */
  #waiting: { readonly tell: (begun: Begun) => void; readonly endsAt: number }[] = []
  #timer: Timer | undefined
  #isStopped = false
  #isBegun = false
  /**
   * True: the group has read the topic before, so requests may be answered. A look-up has found it when joining took long, or
   * another gateway has lent a message.
   */
  #hasCommitted = false
  #wasMissing = false
  #byLeader: LeadersDecision

  constructor(setting: OffsetType, runtime: GroupRuntime, topic: string, retryBackoffMs: number) {
    this.setting = setting
    this.#runtime = runtime
    this.#topic = topic
    this.#retryBackoffMs = retryBackoffMs
  }

  /** True when requests for the topic may be answered with messages. */
  get isBegun(): boolean {
    return this.#isBegun
  }

  /** True when requests for the topic may be answered: the group gets every record that is written from now on. */
  get isFixed(): boolean {
    return this.setting !== 'latest' || this.#isBegun || this.#hasCommitted
  }

  /**
   * True when no further partition begins at its end, because requests may be answered, or the topic was requested
   * before it existed.
   */
  get excludesLatest(): boolean {
    return this.isFixed || this.#wasMissing
  }

  begin(): void {
    this.#isBegun = true
  }

  /** Another member has begun to read the topic, and a client of this process has got one of its messages. */
  begunElsewhere(): void {
    this.#hasCommitted = true
  }

  /** Ends the look-ups, because the topic is given up. After this, no callback is called. */
  stop(): void {
    this.#isStopped = true
    this.#waiting = []
    this.#timer?.cancel()
  }

  /** Notes that the topic did not exist when it was requested, or may not have existed when its group was. */
  missing(): void {
    this.#wasMissing = true
  }

  /** Calls back if the group has read the topic before, so that requests may be answered. */
  whenCommitted(onFixed: () => void): void {
    this.#whenBegunIsKnown(begun => {
      this.#hasCommitted ||= begun === 'yes'
      if (this.#hasCommitted) onFixed()
    })
  }

  /**
   * Takes the leader's decision for the present generation. The leader does not know of requests that were answered
   * after the member joined. Records that were written after these answers may lie before the ends that the leader
   * found, so partitions without a commit are then read from their beginning.
   */
  decided(byLeader: LeadersDecision): void {
    this.#byLeader = this.#hasCommitted ? 'earliest' : byLeader
  }

  find(partition: number, onStart: (start: Start) => void): void {
    const byLeader = this.#byLeader
    if (this.setting !== 'latest') onStart(this.setting)
    else if (byLeader === 'earliest' || this.#wasMissing) onStart('earliest')
    else if (byLeader) {
      const end = byLeader.ends.get(partition)
      onStart(end === undefined ? 'earliest' : { ...end, topicId: byLeader.topicId })
    } else if (this.isFixed) onStart('earliest')
    // If the answer stays unclear, old records are offered, because it would be worse to skip records that were written
    // for the group.
    else this.#whenBegunIsKnown(begun => onStart(begun !== 'no' || this.isFixed ? 'earliest' : 'latest'))
  }

  /**
   * Finds out whether the group has a committed offset in the topic, or a member of another process has begun to read
   * it. Members need this when their leader does not report it. The look-up is repeated until the answer is known, for
   * at most a minute while the group rebalances.
   */
  #whenBegunIsKnown(tell: (begun: Begun) => void): void {
    this.#waiting.push({ tell, endsAt: this.#runtime.clock() + JOINING_MS })
    if (this.#waiting.length === 1) this.#look()
  }

  #look(): void {
    const topic = this.#topic
    lookUpTopics(this.#runtime, [topic], found => {
      if (!found) this.#again()
      else {
        const partitions = found.partitionsOf(topic).map(partition => ({ topic, partition }))
        findCommitted(this.#runtime, partitions, committed => {
          if (committed === 'unclear') this.#again()
          else if (committed === 'some') this.#begunIsKnown('yes')
          else this.#askMembers()
        })
      }
    })
  }

  #askMembers(): void {
    const { groupId, ask } = this.#runtime
    ask('describeGroup', { groupId, timeoutMs: TIMEOUT_MS }, result => {
      const isPassing = result.type === 'timedOut' || (result.type === 'failed' && result.retriable)
      if (isPassing || (result.type === 'success' && result.state !== STABLE)) this.#askMembersAgain()
      else {
        const members = result.type === 'success' ? result.members : []
        this.#begunIsKnown(members.some(({ metadata }) => hasBegunIn(metadata, this.#topic)) ? 'yes' : 'no')
      }
    })
  }

  #askMembersAgain(): void {
    const now = this.#runtime.clock()
    const over = this.#waiting.filter(({ endsAt }) => endsAt <= now)
    this.#waiting = this.#waiting.filter(({ endsAt }) => endsAt > now)
    if (this.#waiting.length > 0) this.#again()
    for (const { tell } of over) tell('unclear')
  }

  #again(): void {
    if (!this.#isStopped) this.#timer = this.#runtime.after(this.#retryBackoffMs, () => this.#look())
  }

  #begunIsKnown(begun: Begun): void {
    for (const { tell } of this.#waiting.splice(0)) tell(begun)
  }
}
