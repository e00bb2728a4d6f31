import { type LogPosition, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import type { GroupRuntime } from '../group/group-runtime.js'
import type { HeldBatches } from '../group/held-batches.js'
import type { ConsumerSettings } from '../group/settings.js'
import { decisionOn, type GroupStarts } from '../group/start-messages.js'
import type { FindStart } from '../group/topic-start.js'
import type { OffsetToCommit } from './instance-commits.js'
import { epochWithin, type Furthest, InstancePartition } from './instance-partition.js'
import type { InstanceOffset, InstanceSettings } from './instances.js'

/** Limit of partitions that an instance had before, and whose furthest positions it keeps. */
const MAX_READ_BEFORE = 10_000

export interface InstancePartitionsOptions {
  readonly runtime: GroupRuntime
  readonly settings: InstanceSettings
  readonly consumer: ConsumerSettings
  readonly batches: HeldBatches
  /** Called when records, a position or a problem of a partition have come. */
  readonly onChanged: (partition: InstancePartition) => void
  /** Called before a position follows a change of its log. */
  readonly onLogChanged: () => void
}

/** The partitions that one instance reads now, and how far it has read those that it had before. */
export class InstancePartitions {
  readonly #options: InstancePartitionsOptions
  readonly #now = new Map<string, InstancePartition>()
  /** The accepted positions of partitions that this instance read last. Used when the group has committed none. */
  readonly #lastAccepted = new Map<string, LogPosition & { readonly topicId: string | undefined }>()
  /** How far the instance has read partitions that it no longer has. Their offsets may still be committed. */
  readonly #readBefore = new Map<string, Furthest>()
  /** Topics that the instance has read, or would have: partitions that are added begin at their earliest record. */
  readonly #begun = new Set<string>()

  constructor(options: InstancePartitionsOptions) {
    this.#options = options
  }

  /** Partitions by names such as `orders/3`. The map is kept up to date. */
  get now(): ReadonlyMap<string, InstancePartition> {
    return this.#now
  }

  hasBegun(topic: string): boolean {
    return this.#begun.has(topic)
  }

  /** The instance would have read a topic that was not there. */
  began(topic: string): void {
    this.#begun.add(topic)
  }

  /** Begins to read a partition, unless the instance reads it. */
  add({ topic, partition }: TopicPartition, starts?: GroupStarts): void {
    const key = topicPartitionKey(topic, partition)
    if (this.#now.has(key)) return
    const { runtime, batches, consumer, onChanged, onLogChanged } = this.#options
    const added = new InstancePartition({
      topicPartition: { topic, partition },
      runtime,
      batches,
      retryBackoffMs: consumer.retryBackoffMs,
      start: this.#startOf(topic, partition, starts),
      readBefore: this.#readBefore.get(key),
      onChanged: () => {
        if (added.accepted !== undefined) this.#begun.add(topic)
        onChanged(added)
      },
      onLogChanged
    })
    this.#now.set(key, added)
    added.begin()
  }

  #startOf(topic: string, partition: number, starts: GroupStarts | undefined): FindStart | 'none' {
    const { start } = this.#options.settings
    const last = this.#lastAccepted.get(topicPartitionKey(topic, partition))
    if (last !== undefined) return onStart => onStart({ ...last, topicId: last.topicId })
    if (start !== 'latest') return start === 'none' ? 'none' : onStart => onStart('earliest')
    const byLeader = decisionOn(starts, topic)
    const hasBegun = this.#begun.has(topic)
    return onStart => {
      if (hasBegun || byLeader === 'earliest') onStart('earliest')
      else if (byLeader === undefined) onStart('latest')
      else {
        const end = byLeader.ends.get(partition)
        onStart(end === undefined ? 'earliest' : { ...end, topicId: byLeader.topicId })
      }
    }
  }

  /** Stops reading all partitions but these. One that comes back goes on after its accepted records. */
  keep(kept: readonly TopicPartition[]): void {
    const keys = new Set(kept.map(({ topic, partition }) => topicPartitionKey(topic, partition)))
    for (const [key, partition] of this.#now) if (!keys.has(key)) this.#drop(key, partition)
  }

  /** Lets partitions that come back begin at the committed offsets. */
  forgetAccepted(): void {
    this.#lastAccepted.clear()
  }

  #drop(key: string, partition: InstancePartition): void {
    const { accepted: offset, topicId, furthest } = partition
    if (furthest) this.#keepFurthest(key, furthest)
    if (offset !== undefined)
      this.#lastAccepted.set(key, { offset, leaderEpoch: partition.epochBefore(offset), topicId })
    partition.stop()
    this.#now.delete(key)
  }

  #keepFurthest(key: string, furthest: Furthest): void {
    this.#readBefore.delete(key)
    this.#readBefore.set(key, furthest)
    if (this.#readBefore.size <= MAX_READ_BEFORE) return
    const [oldest] = this.#readBefore.keys()
    this.#readBefore.delete(oldest!)
  }

  /** The partitions that the instance reads now, sorted. */
  get assignment(): readonly TopicPartition[] {
    return Array.from(this.#now.values(), ({ topicPartition }) => topicPartition).sort(
      (one, other) =>
        (one.topic < other.topic ? -1 : one.topic > other.topic ? 1 : 0) || one.partition - other.partition
    )
  }

  /** The offsets behind accepted records that the group has not committed. */
  get uncommitted(): readonly OffsetToCommit[] {
    return [...this.#now.values()].flatMap(({ topicPartition, accepted, committed }) =>
      accepted === undefined || accepted === committed
        ? []
        : [this.withEpoch({ ...topicPartition, offset: accepted, metadata: '' })]
    )
  }

  /**
   * Offsets to commit before other members may get the partitions. Without automatic commits, these are only the
   * offsets where the instance began at the end of a log, because another member would begin elsewhere.
   */
  get lastOffsets(): readonly OffsetToCommit[] {
    const { autoCommitMs, start } = this.#options.settings
    if (autoCommitMs !== undefined) return this.uncommitted
    return [...this.#now.values()].flatMap(({ topicPartition, committed, beganAt }) =>
      committed === undefined && beganAt !== undefined && start === 'latest'
        ? [{ ...topicPartition, offset: beganAt, metadata: '' }]
        : []
    )
  }

  withEpoch(stored: InstanceOffset): OffsetToCommit {
    const { topic, partition, offset } = stored
    const key = topicPartitionKey(topic, partition)
    const read = this.#now.get(key)
    return { ...stored, leaderEpoch: read ? read.epochBefore(offset) : epochWithin(this.#readBefore.get(key), offset) }
  }

  /** Kafka has this offset. */
  committed({ topic, partition }: TopicPartition, offset: number): void {
    const read = this.#now.get(topicPartitionKey(topic, partition))
    if (read) read.committed = offset
  }
}
