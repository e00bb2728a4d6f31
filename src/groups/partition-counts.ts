import type { TopicMetadata } from '../wire/broker-client.js'
import { errorCodes } from '../wire/error-codes.js'
import type { GroupHands } from './hands.js'

const TIMEOUT_MS = 10_000

/** The partitions of a topic; none when there is no such topic. */
export type PartitionsOf = (topic: string) => readonly number[]

/** Which partitions the topics of a group had when they were assigned. */
export class PartitionCounts {
  readonly #hands: GroupHands
  #assigned: ReadonlyMap<string, readonly number[]> = new Map()

  constructor(hands: GroupHands) {
    this.#hands = hands
  }

  /** Looks the topics up, and remembers the answer. Calls back with `undefined` when no broker answers. */
  fetch(topics: readonly string[], onFound: (partitionsOf: PartitionsOf | undefined) => void): void {
    this.#lookUp(topics, found => {
      if (found) this.#assigned = found
      onFound(found && (topic => found.get(topic) ?? []))
    })
  }

  /** Whether a topic has other partitions now. No answer counts as no change. */
  haveChanged(onKnown: (haveChanged: boolean) => void): void {
    const before = this.#assigned
    this.#lookUp([...before.keys()], found => {
      const isChanged = (topic: string): boolean => found!.get(topic)!.length > before.get(topic)!.length
      onKnown(found !== undefined && [...before.keys()].some(isChanged))
    })
  }

  #lookUp(
    topics: readonly string[],
    onFound: (found: ReadonlyMap<string, readonly number[]> | undefined) => void
  ): void {
    const request = { requestId: 0, topics, timeoutMs: TIMEOUT_MS }
    this.#hands.ask('fetchTopicMetadata', request, result => {
      if (result.type !== 'success') onFound(undefined)
      else onFound(new Map(topics.map(topic => [topic, partitionsOf(result.topics.get(topic))])))
    })
  }
}

const partitionsOf = (metadata: TopicMetadata | undefined): readonly number[] =>
  metadata?.errorCode === errorCodes.NONE ? metadata.partitions.map(({ partition }) => partition) : []
