import type { PartitionLog } from '../log/partition-log.js'
import { collisionForm } from './collision-form.js'
import { Partition } from './partition.js'
import { TopicConfig } from './topic-config.js'
import { newTopicId } from './topic-id.js'

export interface Topic {
  readonly name: string
  /** The id of this topic; one that is created again under the same name has another. */
  readonly id: string
  readonly config: TopicConfig
  readonly partitions: Partition[]
}

/** What is stored to restore a topic. */
export interface TopicDescription {
  readonly name: string
  /** Absent for a new topic, and in directories written before topics had ids. */
  readonly id?: string
  readonly config: readonly (readonly [string, string])[]
  readonly partitions: readonly PartitionDescription[]
}

export interface PartitionDescription {
  readonly replicas: readonly number[]
  readonly leaderEpoch: number
  readonly logStartOffset: number
  /** Behind the last record when this was stored. Absent for a new partition, and in directories written before it was stored. */
  readonly endOffset?: number | undefined
}

export interface TopicTableOptions {
  readonly openLog: (
    topic: string,
    partition: number,
    description: PartitionDescription & { readonly isCompacted: boolean },
    isNew: boolean
  ) => PartitionLog
  readonly removeLog: (topic: string, partition: number, log: PartitionLog) => void
}

/** All topics. Keyed by name in Maps, because `__proto__` is a name like any other. */
export class TopicTable {
  readonly #topics = new Map<string, Topic>()
  readonly #byId = new Map<string, Topic>()
  readonly #collisions = new Map<string, string>()
  readonly #options: TopicTableOptions
  #partitionCount = 0

  constructor(options: TopicTableOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#topics.size
  }
  /** Of all topics. */
  get partitionCount(): number {
    return this.#partitionCount
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  byId(id: string): Topic | undefined {
    return this.#byId.get(id)
  }

  all(): Topic[] {
    return [...this.#topics.values()]
  }

  partition(topic: string, partition: number): Partition | undefined {
    return this.#topics.get(topic)?.partitions[partition]
  }

  *partitions(): Generator<Partition> {
    for (const topic of this.#topics.values()) yield* topic.partitions
  }

  /** The topic whose name differs only in `.` and `_`, if there is one. */
  collidingWith(name: string): string | undefined {
    const other = this.#collisions.get(collisionForm(name))
    return other === name ? undefined : other
  }

  /**
   * `isNew`: nothing of it is stored yet.
   *
   * @throws Error when the storage fails; then the topic does not exist
   */
  add(description: TopicDescription, isNew: boolean): Topic {
    const topic: Topic = {
      name: description.name,
      id: description.id ?? newTopicId(),
      config: new TopicConfig(new Map(description.config)),
      partitions: []
    }
    this.#topics.set(topic.name, topic)
    this.#byId.set(topic.id, topic)
    this.#collisions.set(collisionForm(topic.name), topic.name)
    try {
      for (const partition of description.partitions) this.addPartition(topic, partition, isNew)
    } catch (error) {
      if (isNew) this.delete(topic.name)
      throw error
    }
    return topic
  }

  addPartition(topic: Topic, description: PartitionDescription, isNew: boolean): Partition {
    const index = topic.partitions.length
    const { replicas, leaderEpoch } = description
    const { isCompacted } = topic.config
    const log = this.#options.openLog(topic.name, index, { ...description, isCompacted }, isNew)
    const partition = new Partition(topic.name, index, replicas, leaderEpoch, log)
    topic.partitions.push(partition)
    this.#partitionCount++
    return partition
  }

  delete(name: string): boolean {
    const topic = this.#topics.get(name)
    if (!topic) return false
    this.#topics.delete(name)
    this.#byId.delete(topic.id)
    this.#collisions.delete(collisionForm(name))
    this.#partitionCount -= topic.partitions.length
    for (const partition of topic.partitions) this.#options.removeLog(name, partition.index, partition.log)
    return true
  }

  describe(): TopicDescription[] {
    return this.all().map(topic => ({
      name: topic.name,
      id: topic.id,
      config: [...topic.config.given],
      partitions: topic.partitions.map(({ replicas, leaderEpoch, log }) => ({
        replicas,
        leaderEpoch,
        logStartOffset: log.logStartOffset,
        endOffset: log.highWatermark
      }))
    }))
  }
}
