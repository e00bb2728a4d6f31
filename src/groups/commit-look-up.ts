import type { TopicPartition } from '../model.js'
import { AS_STORED } from '../operations/as-stored.js'
import { inPortions } from '../requests/portions.js'
import type { GroupHands, Timer } from './hands.js'
import { lookUpPartitions } from './partition-counts.js'
import { begunIn } from './start-messages.js'

const TIMEOUT_MS = 5_000

/** Whether the group has a committed offset in any of some partitions. */
export type Committed = 'some' | 'none' | 'unclear'

/** @param leftMs how long the next answer is waited for; 0 or less: no more is asked */
export function findCommitted(
  { groupId, ask }: GroupHands,
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
  readonly #hands: GroupHands
  readonly #topic: string
  readonly #retryBackoffMs: number
  #waiting: ((hasCommitted: boolean) => void)[] = []
  #waitingForMembers: ((hasBegun: boolean) => void)[] = []
  #timer: Timer | undefined
  #membersTimer: Timer | undefined
  #isStopped = false

  constructor(hands: GroupHands, topic: string, retryBackoffMs: number) {
    this.#hands = hands
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
   * does not say so.
   */
  hasBegun(onKnown: (hasBegun: boolean) => void): void {
    this.#waitingForMembers.push(onKnown)
    if (this.#waitingForMembers.length === 1) this.#lookForBegun()
  }

  #lookForBegun(): void {
    this.hasCommitted(hasCommitted => {
      if (hasCommitted) this.#begunIsKnown(true)
      else this.#askMembers()
    })
  }

  #askMembers(): void {
    const { groupId, ask } = this.#hands
    ask('describeGroup', { groupId, timeoutMs: TIMEOUT_MS }, result => {
      if (result.type === 'success') {
        this.#begunIsKnown(result.members.some(({ metadata }) => begunIn(metadata).includes(this.#topic)))
      } else if (result.type === 'timedOut' || (result.type === 'failed' && result.retriable)) {
        if (!this.#isStopped) this.#membersTimer = this.#hands.after(this.#retryBackoffMs, () => this.#lookForBegun())
      } else this.#begunIsKnown(false)
    })
  }

  #begunIsKnown(hasBegun: boolean): void {
    const waiting = this.#isStopped ? [] : this.#waitingForMembers
    this.#waitingForMembers = []
    for (const tell of waiting) tell(hasBegun)
  }

  #look(): void {
    const topic = this.#topic
    lookUpPartitions(
      (...question) => this.#hands.ask('fetchTopicMetadata', ...question),
      [topic],
      partitionsOf => {
        if (!partitionsOf) this.#again()
        else {
          const partitions = partitionsOf(topic).map(partition => ({ topic, partition }))
          findCommitted(this.#hands, partitions, committed => {
            if (committed === 'unclear') this.#again()
            else this.#known(committed === 'some')
          })
        }
      }
    )
  }

  #again(): void {
    if (!this.#isStopped) this.#timer = this.#hands.after(this.#retryBackoffMs, () => this.#look())
  }

  #known(hasCommitted: boolean): void {
    const waiting = this.#isStopped ? [] : this.#waiting
    this.#waiting = []
    for (const tell of waiting) tell(hasCommitted)
  }
}
