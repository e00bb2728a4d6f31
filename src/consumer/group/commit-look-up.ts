import type { TopicPartition } from '../../core/model.js'
import { AS_STORED } from '../../router/messages/as-stored.js'
import { inPortions } from '../../router/requests/portions.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import { lookUpPartitions } from './partition-counts.js'
import { hasBegunIn } from './start-messages.js'

const TIMEOUT_MS = 5_000
/** The state of a group whose coordinator tells what members have told. In others they join, and it tells nothing of them. */
const STABLE = 'Stable'
/** How long who asks what members have begun is kept waiting while they join. A member learns of that from a heartbeat, much sooner. */
const JOINING_MS = 60_000

/** Whether the group has a committed offset in any of some partitions. */
export type Committed = 'some' | 'none' | 'unclear'

/** Whether any member has begun to read a topic; `unclear`: they have been joining all the time. */
export type Begun = 'yes' | 'no' | 'unclear'
type OnBegun = (begun: Begun) => void

/** @param leftMs how long the next answer is waited for; 0 or less: no more is asked */
export function findCommitted(
  { groupId, ask }: GroupRuntime,
  partitions: readonly TopicPartition[],
  onFound: (committed: Committed) => void,
  leftMs: () => number = () => TIMEOUT_MS
): void {
  let committed: Committed = 'none'
  inPortions(
    partitions,
    (topicPartition, answered) => {
      const timeoutMs = leftMs()
      if (timeoutMs <= 0) {
        if (committed === 'none') committed = 'unclear'
        answered(true)
        return
      }
      ask('fetchConsumerOffset', { groupId, topicPartition, timeoutMs, ...AS_STORED }, ({ type }) => {
        if (type === 'success') committed = 'some'
        else if (type !== 'notFound' && committed === 'none') committed = 'unclear'
        answered(committed === 'some')
      })
    },
    () => onFound(committed)
  )
}

/** Looks up whether the group has a committed offset in any partition of one topic. */
export class CommitLookUp {
  readonly #runtime: GroupRuntime
  readonly #topic: string
  readonly #retryBackoffMs: number
  #waiting: ((hasCommitted: boolean) => void)[] = []
  #waitingForMembers: { readonly tell: OnBegun; readonly endsAt: number }[] = []
  #timer: Timer | undefined
  #membersTimer: Timer | undefined
  #isStopped = false

  constructor(runtime: GroupRuntime, topic: string, retryBackoffMs: number) {
    this.#runtime = runtime
    this.#topic = topic
    this.#retryBackoffMs = retryBackoffMs
  }

  /** Tries until it is known. Those who ask at the same time share the answer. */
  hasCommitted(onKnown: (hasCommitted: boolean) => void): void {
    this.#waiting.push(onKnown)
    if (this.#waiting.length === 1) this.#look()
  }

  /** Tells those who wait nothing any more. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#membersTimer?.cancel()
  }

  /**
   * The same, or whether a member of another process says that the group has begun to read the topic. For members whose leader
   * does not say so. Tries until it is known, for a minute at most while the coordinator does not tell.
   */
  hasBegun(onKnown: OnBegun): void {
    this.#waitingForMembers.push({ tell: onKnown, endsAt: this.#runtime.clock() + JOINING_MS })
    if (this.#waitingForMembers.length === 1) this.#lookForBegun()
  }

  #lookForBegun(): void {
    this.hasCommitted(hasCommitted => {
      if (hasCommitted) this.#begunIsKnown('yes')
      else this.#askMembers()
    })
  }

  #askMembers(): void {
    const { groupId, ask } = this.#runtime
    ask('describeGroup', { groupId, timeoutMs: TIMEOUT_MS }, result => {
      if (result.type === 'success') {
        if (result.state !== STABLE) this.#askMembersAgain()
        else this.#begunIsKnown(result.members.some(({ metadata }) => hasBegunIn(metadata, this.#topic)) ? 'yes' : 'no')
      } else if (result.type === 'timedOut' || (result.type === 'failed' && result.retriable)) this.#askMembersAgain()
      else this.#begunIsKnown('no')
    })
  }

  #askMembersAgain(): void {
    if (this.#isStopped) return
    const now = this.#runtime.clock()
    const over = this.#waitingForMembers.filter(({ endsAt }) => endsAt <= now)
    this.#waitingForMembers = this.#waitingForMembers.filter(({ endsAt }) => endsAt > now)
    if (this.#waitingForMembers.length > 0) {
      this.#membersTimer = this.#runtime.after(this.#retryBackoffMs, () => this.#lookForBegun())
    }
    for (const { tell } of over) tell('unclear')
  }

  #begunIsKnown(begun: Begun): void {
    const waiting = this.#isStopped ? [] : this.#waitingForMembers
    this.#waitingForMembers = []
    for (const { tell } of waiting) tell(begun)
  }

  #look(): void {
    const topic = this.#topic
    lookUpPartitions(
      (...question) => this.#runtime.ask('fetchTopicMetadata', ...question),
      [topic],
      partitionsOf => {
        if (!partitionsOf) this.#again()
        else {
          const partitions = partitionsOf(topic).map(partition => ({ topic, partition }))
          findCommitted(this.#runtime, partitions, committed => {
            if (committed === 'unclear') this.#again()
            else this.#known(committed === 'some')
          })
        }
      }
    )
  }

  #again(): void {
    if (!this.#isStopped) this.#timer = this.#runtime.after(this.#retryBackoffMs, () => this.#look())
  }

  #known(hasCommitted: boolean): void {
    const waiting = this.#isStopped ? [] : this.#waiting
    this.#waiting = []
    for (const tell of waiting) tell(hasCommitted)
  }
}
