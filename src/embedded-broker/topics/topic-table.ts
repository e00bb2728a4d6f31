import { randomBytes } from 'node:crypto'
import type { BrokerNode } from '../../core/model.js'
import type { SegmentedLog } from '../log/partition-log.js'
import { StoredPartition } from './partition.js'
import { TopicConfig } from './topic-config.js'

export interface Topic {
  readonly name: string
  /** The id of this topic; a topic that is created again under the same name gets another id. */
  readonly id: string
  readonly config: TopicConfig
  readonly partitions: StoredPartition[]
}

/** The stored form of a topic. */
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
  /**
   * The offset after the last record when the file was written. Absent for a new partition, and in directories of old
   * versions.
   */
  readonly endOffset?: number | undefined
}

export interface TopicTableOptions {
  readonly openLog: (
    topic: string,
    partition: number,
    description: PartitionDescription & { readonly isCompacted: boolean },
    isNew: boolean
  ) => SegmentedLog
  readonly removeLog: (topic: string, partition: number, log: SegmentedLog) => void
}

/** All topics. They are in Maps instead of objects, because `__proto__` is a legal topic name. */
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

  partition(topic: string, partition: number): StoredPartition | undefined {
    return this.#topics.get(topic)?.partitions[partition]
  }

  *partitions(): Generator<StoredPartition> {
    for (const topic of this.#topics.values()) yield* topic.partitions
  }

  /** The topic whose name differs only in `.` and `_`, if there is one. */
  collidingWith(name: string): string | undefined {
    const other = this.#collisions.get(collisionForm(name))
    return other === name ? undefined : other
  }

  /**
   * Adds a topic. `isNew`: the topic is not stored yet.
   *
   * @throws Error when the storage fails; the topic does not exist then
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

  addPartition(topic: Topic, description: PartitionDescription, isNew: boolean): StoredPartition {
    const index = topic.partitions.length
    const { replicas, leaderEpoch } = description
    const { isCompacted } = topic.config
    const log = this.#options.openLog(topic.name, index, { ...description, isCompacted }, isNew)
    const partition = new StoredPartition(topic.name, index, replicas, leaderEpoch, log)
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

/**
 * The form of a name in which `.` and `_` are equal. Names that differ only in them share their metrics in Kafka, so
 * the second name is refused.
 */
const collisionForm = (name: string): string => name.replaceAll('.', '_')

/** The id that means that a request has no id, or that the topic does not exist. */
export const NO_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA'

/** A random UUID (version 4) in the form in which Kafka prints ids: 22 characters that never begin with a dash. */
function newTopicId(): string {
  for (;;) {
    const bytes = randomBytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const id = bytes.toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

/** The description of a partition in a metadata response. */
export interface PartitionImage {
  readonly index: number
  /** -1: the partition has no leader. */
  readonly leaderId: number
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly inSync: readonly number[]
  readonly offline: readonly number[]
}

/** The description of a topic in a metadata response. */
export interface TopicImage {
  readonly name: string
  readonly id: string
  readonly partitions: readonly PartitionImage[]
}

/** The description of the cluster in a metadata response of a node. */
export interface ClusterImage {
  readonly liveNodes: readonly BrokerNode[]
  readonly controllerId: number
  topic(name: string): TopicImage | undefined
  topicById(id: string): TopicImage | undefined
  all(): readonly TopicImage[]
}

/** A copy of the topic's present state. Later changes do not affect it. */
export const imageOf = ({ name, id, partitions }: Topic, isAlive: (nodeId: number) => boolean): TopicImage => ({
  name,
  id,
  partitions: partitions.map(({ index, leaderId, leaderEpoch, replicas }) => ({
    index,
    leaderId,
    leaderEpoch,
    replicas,
    inSync: replicas.filter(isAlive),
    offline: replicas.filter(nodeId => !isAlive(nodeId))
  }))
})

/** A copy of the image. Later changes do not affect it. */
export function frozen(image: ClusterImage): ClusterImage {
  const { liveNodes, controllerId } = image
  const topics = image.all()
  return {
    liveNodes,
    controllerId,
    topic: name => topics.find(topic => topic.name === name),
    topicById: id => topics.find(topic => topic.id === id),
    all: () => topics
  }
}
