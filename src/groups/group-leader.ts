import { decodeSubscription, encodeAssignment } from '../wire/protocol/consumer-protocol.js'
import type { GroupHands, Timer } from './hands.js'
import { PartitionCounts, type PartitionsOf } from './partition-counts.js'
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
  readonly #checkMs: number
  readonly #counts: PartitionCounts
  #timer: Timer | undefined

  constructor(hands: GroupHands, checkMs: number) {
    this.#hands = hands
    this.#checkMs = checkMs
    this.#counts = new PartitionCounts(hands)
  }

  /** Calls back with the assignments of all members, or with `undefined` when no broker tells about the topics. */
  assign(members: readonly JoinedMember[], onAssigned: (assignments: readonly Assignment[] | undefined) => void): void {
    const subscribers = members.map(member => ({ ...member, topics: topicsOf(member.metadata) }))
    const topics = [...new Set(subscribers.flatMap(subscriber => subscriber.topics))]
    this.#counts.fetch(topics, partitionsOf => onAssigned(partitionsOf && encodeAll(subscribers, partitionsOf)))
  }

  /** Calls back once a topic has got more partitions, or exists now. */
  watch(onChanged: () => void): void {
    this.stop()
    const timer = this.#hands.after(this.#checkMs, () => {
      this.#counts.haveChanged(haveChanged => {
        if (this.#timer !== timer) return
        if (haveChanged) onChanged()
        else this.watch(onChanged)
      })
    })
    this.#timer = timer
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
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
