import { type BrokerNode, isLegalTopicName } from '../core/model.js'
import { ConnectionLimit } from './connection-limit.js'
import type { ApiName, TopicOptions } from './embedded-cluster.js'
import { FaultTable } from './faults.js'
import { FetchSessions } from './fetch-sessions.js'
import { FramePool } from './frame-pool.js'
import { GroupCoordinator } from './groups/group-coordinator.js'
import { HeldBytes } from './held-bytes.js'
import { PartitionLog, type Recovery } from './log/partition-log.js'
import type { ProducerExpiration } from './log/producer-state.js'
import { ProducerIds } from './producer-ids.js'
import { controlBatch } from './protocol/control-batch.js'
import type { SaslExchange } from './sasl/sasl-exchange.js'
import type { EmbeddedLimits } from './settings.js'
import type { Storage } from './storage/storage.js'
import { NO_LEADER, type Partition } from './topics/partition.js'
import { toTopicConfig } from './topics/topic-config.js'
import { type ClusterImage, frozen, imageOf } from './topics/topic-image.js'
import { type Topic, TopicTable } from './topics/topic-table.js'
import { TransactionCoordinator } from './transactions/transaction-coordinator.js'

export interface ClusterOptions {
  readonly defaultPartitions: number
  readonly autoCreateTopics: boolean
  readonly retentionBytes: number
  readonly minSessionTimeoutMs: number
  readonly producerExpiration: ProducerExpiration
  readonly limits: EmbeddedLimits
  /** True: each client is told the address at which it has connected. */
  readonly listensEverywhere: boolean
  /** Reports a message to the operator. */
  readonly warn: (message: string) => void
  /** Undefined: clients need not authenticate. */
  readonly saslMechanisms: ReadonlyMap<string, () => SaslExchange> | undefined
  readonly storage: Storage
}

/** How long a topic that a metadata request asked for stays unknown. Real brokers were seen to take 56-154 ms. */
const AUTO_CREATE_MS = 100
/** Approximate number of segments of a full partition, so that retention can drop one at a time. */
const SEGMENTS_PER_LOG = 16
const LARGEST_SEGMENT_BYTES = 16 * 1024 * 1024

/** The state that all nodes share: live nodes, topics and their leaders, groups, producer ids. No sockets. */
export class Cluster {
  readonly clusterId: string
  readonly options: ClusterOptions
  readonly faults = new FaultTable()
  readonly topics: TopicTable
  readonly producerIds: ProducerIds
  readonly groups: GroupCoordinator
  readonly transactions: TransactionCoordinator
  readonly held: HeldBytes
  readonly framePool = new FramePool()
  readonly fetchSessions = new FetchSessions()
  readonly connections: ConnectionLimit
  readonly #requestCounts = new Map<ApiName, Map<number, number>>()
  readonly #nodes = new Map<number, BrokerNode>()
  readonly #alive = new Set<number>()
  readonly #creating = new Map<string, NodeJS.Timeout>()
  /** What nodes that lag behind know. */
  readonly #oldImages = new Map<number, ClusterImage>()

  constructor(options: ClusterOptions) {
    this.clusterId = options.storage.clusterId
    this.options = options
    const { storage, limits } = options
    this.held = new HeldBytes(limits.maxHeldBytes)
    this.connections = new ConnectionLimit(limits.maxConnections)
    this.producerIds = new ProducerIds(storage)
    this.groups = new GroupCoordinator(storage, options.minSessionTimeoutMs, limits.maxGroupBytes)
    this.transactions = new TransactionCoordinator(this.producerIds, this.groups.offsets)
    const segmentBytes = Math.max(1024, Math.min(LARGEST_SEGMENT_BYTES, options.retentionBytes / SEGMENTS_PER_LOG))
    this.topics = new TopicTable({
      openLog(topic, partition, { logStartOffset, leaderEpoch, endOffset, isCompacted }, isNew) {
        const { open, baseOffsets, rollsAtGaps, quarantine } = storage.openLog(topic, partition, isNew)
        const log = new PartitionLog({ open, segmentBytes, rollsAtGaps })
        const damaged: Recovery['damaged'] = ({ position, sizeBytes, fromOffset, toOffset }, baseOffset, bytes) => {
          const where = quarantine(baseOffset, position, bytes)
          const lost = `offsets ${fromOffset} to ${toOffset - 1} of ${topic}/${partition} cannot be read`
          options.warn(`${sizeBytes} damaged bytes at ${position} in ${where}: ${lost}`)
        }
        const missing: Recovery['missing'] = (fromOffset, toOffset) => {
          const lost = `offsets ${fromOffset} to ${toOffset - 1} of ${topic}/${partition} are missing`
          options.warn(`${lost}: a file of the log is gone, or was cut; they are lost`)
        }
        log.recover({ baseOffsets, logStartOffset, endOffset, isCompacted, newestEpoch: leaderEpoch, damaged, missing })
        return log
      },
      removeLog(topic, partition, log) {
        log.remove()
        storage.removeLog(topic, partition)
      }
    })
  }

  /** What a node tells of the cluster: the present, unless it lags behind. */
  imageOf(nodeId: number): ClusterImage {
    return this.#oldImages.get(nodeId) ?? this.image
  }

  /** The node goes on telling of the present moment, until the function that is returned is called. */
  lag(nodeId: number): () => void {
    const old = frozen(this.image)
    this.#oldImages.set(nodeId, old)
    return () => {
      if (this.#oldImages.get(nodeId) === old) this.#oldImages.delete(nodeId)
    }
  }

  /** The present. */
  get image(): ClusterImage {
    const isAlive = (nodeId: number): boolean => this.isAlive(nodeId)
    const image = (topic: Topic | undefined) => topic && imageOf(topic, isAlive)
    return {
      liveNodes: this.liveNodes,
      controllerId: this.controllerId,
      topic: name => image(this.topics.get(name)),
      topicById: id => image(this.topics.byId(id)),
      all: () => this.topics.all().map(topic => imageOf(topic, isAlive))
    }
  }

  get nodes(): readonly BrokerNode[] {
    return [...this.#nodes.values()]
  }
  get liveNodes(): readonly BrokerNode[] {
    return this.nodes.filter(({ nodeId }) => this.#alive.has(nodeId))
  }
  /** The live node with the lowest id; -1: none. */
  get controllerId(): number {
    return this.liveNodes[0]?.nodeId ?? -1
  }

  isAlive(nodeId: number): boolean {
    return this.#alive.has(nodeId)
  }

  addNode(node: BrokerNode): void {
    this.#nodes.set(node.nodeId, node)
    this.#alive.add(node.nodeId)
  }

  /** Restores the state from the directory. The nodes exist already. */
  restore(): void {
    for (const { partitions, ...topic } of this.options.storage.topics()) {
      const restored = partitions.map(({ replicas, leaderEpoch, logStartOffset, endOffset }, index) => {
        const known = replicas.filter(nodeId => this.#nodes.has(nodeId))
        // There are fewer nodes than last time: a live one becomes replica and leader, with a new leader epoch.
        return {
          replicas: known.length > 0 ? known : this.assignReplicas(index, 1),
          leaderEpoch: leaderEpoch + 1,
          logStartOffset,
          endOffset
        }
      })
      this.topics.add({ ...topic, partitions: restored }, false)
    }
    for (const partition of this.topics.partitions()) this.#abortOpenTransactions(partition)
    this.topicsChanged()
  }

  nodeStopped(nodeId: number): void {
    this.#alive.delete(nodeId)
    this.fetchSessions.nodeStopped(nodeId)
    this.groups.restartSessions()
    for (const partition of this.topics.partitions()) {
      if (partition.leaderId === nodeId) this.#electLeader(partition)
    }
    this.topicsChanged()
  }

  nodeStarted(nodeId: number): void {
    this.#alive.add(nodeId)
    this.producerIds.nodeRestarted(nodeId)
    this.groups.restartSessions()
    for (const partition of this.topics.partitions()) {
      if (partition.hasReplicaOn(nodeId)) partition.log.producers.nodeRestarted(nodeId)
      if (partition.leaderId === NO_LEADER) this.#electLeader(partition)
    }
    this.topicsChanged()
  }

  inSyncReplicas(partition: Partition): number[] {
    return partition.replicas.filter(nodeId => this.#alive.has(nodeId))
  }

  /** The coordinator of a group or transaction: always the same node while that lives. */
  coordinatorOf(key: string): BrokerNode | undefined {
    const { nodes } = this
    let hash = 0
    for (const character of key) hash = (Math.imul(hash, 31) + character.codePointAt(0)!) | 0
    const first = (hash >>> 0) % nodes.length
    return [...nodes.slice(first), ...nodes.slice(0, first)].find(({ nodeId }) => this.#alive.has(nodeId))
  }

  createTopic(name: string, options: TopicOptions = {}): Topic {
    const partitions = options.partitions ?? this.options.defaultPartitions
    const count = options.replicationFactor ?? Math.min(3, this.#nodes.size)
    return this.createAssignedTopic(
      name,
      Array.from({ length: partitions }, (_, index) => this.assignReplicas(index, count)),
      toTopicConfig(options.config)
    )
  }

  createAssignedTopic(
    name: string,
    replicas: readonly (readonly number[])[],
    config?: ReadonlyMap<string, string>
  ): Topic {
    clearTimeout(this.#creating.get(name))
    this.#creating.delete(name)
    const partitions = replicas.map(nodeIds => ({ replicas: nodeIds, leaderEpoch: 0, logStartOffset: 0 }))
    const topic = this.topics.add({ name, config: [...(config ?? [])], partitions }, true)
    for (const partition of topic.partitions) this.#electLeader(partition)
    this.topicsChanged()
    return topic
  }

  /** Consecutive nodes, so that leaders are spread. */
  assignReplicas(partition: number, count: number): number[] {
    const ids = [...this.#nodes.keys()]
    return Array.from({ length: count }, (_, replica) => ids[(partition + replica) % ids.length]!)
  }

  /**
   * The error when there is no room for a topic with so many partitions, or for so many more; undefined: there is
   * room.
   */
  capacityProblem(newTopics: number, newPartitions: number): string | undefined {
    const { maxTopics, maxPartitions } = this.options.limits
    if (this.topics.count + newTopics > maxTopics) return `there may be at most ${maxTopics} topics (limits.maxTopics)`
    if (this.topics.partitionCount + newPartitions <= maxPartitions) return undefined
    return `there may be at most ${maxPartitions} partitions in all (limits.maxPartitions)`
  }

  deleteTopic(name: string): boolean {
    const deleted = this.topics.delete(name)
    if (!deleted) return false
    this.#attempt(`the offsets of deleted topic ${name}`, () => this.groups.offsets.deleteTopic(name))
    this.topicsChanged()
    return true
  }

  growTopic(topic: Topic, partitions: number, replicas?: readonly (readonly number[])[]): void {
    const count = topic.partitions[0]?.replicas.length ?? 1
    while (topic.partitions.length < partitions) {
      const index = topic.partitions.length
      const given = replicas?.[replicas.length - (partitions - index)]
      const partitionReplicas = given ?? this.assignReplicas(index, count)
      const description = { replicas: partitionReplicas, leaderEpoch: 0, logStartOffset: 0 }
      this.#electLeader(this.topics.addPartition(topic, description, true))
    }
    this.topicsChanged()
  }

  /** Creates a topic that a metadata request named, a moment later. */
  autoCreate(name: string): void {
    if (!this.options.autoCreateTopics || this.#creating.has(name)) return
    if (!isLegalTopicName(name) || this.topics.collidingWith(name)) return
    const begun = this.#creating.size
    if (this.capacityProblem(begun + 1, (begun + 1) * this.options.defaultPartitions)) return
    const create = () => {
      this.#creating.delete(name)
      if (this.topics.get(name) || this.topics.collidingWith(name)) return
      // The client asks again, and each time creation is tried again.
      this.#attempt(`topic ${name}`, () => this.createTopic(name))
    }
    this.#creating.set(name, setTimeout(create, AUTO_CREATE_MS))
  }

  /** Deletes the oldest segments when a partition exceeds the limit. */
  retain(partition: Partition): void {
    const own = this.topics.get(partition.topic)?.config.retentionBytes ?? -1
    const limit = this.options.retentionBytes
    const before = partition.log.logStartOffset
    this.#attempt(`old segments of ${partition.topic}/${partition.index}`, () =>
      partition.log.retain(own < 0 ? limit : Math.min(own, limit))
    )
    if (partition.log.logStartOffset !== before) this.topicsChanged()
  }

  /** Call after every change of topics, settings, leaders or log starts. */
  topicsChanged(): void {
    this.options.storage.saveTopics(() => this.topics.describe())
  }

  count(api: ApiName, nodeId: number): void {
    let byNode = this.#requestCounts.get(api)
    if (byNode === undefined) this.#requestCounts.set(api, (byNode = new Map()))
    byNode.set(nodeId, (byNode.get(nodeId) ?? 0) + 1)
  }

  /** @param nodeId absent: of all nodes */
  requestCount(api: ApiName, nodeId?: number): number {
    const byNode = this.#requestCounts.get(api) ?? new Map<number, number>()
    if (nodeId !== undefined) return byNode.get(nodeId) ?? 0
    return [...byNode.values()].reduce((sum, count) => sum + count, 0)
  }

  close(): void {
    for (const timer of this.#creating.values()) clearTimeout(timer)
    this.#creating.clear()
    this.producerIds.close()
    this.groups.close()
    this.transactions.close()
    for (const { log } of this.topics.partitions()) log.close()
    this.options.storage.close()
  }

  /** No node is left that could end these transactions, and readers would wait without end. */
  #abortOpenTransactions({ log, leaderEpoch }: Partition): void {
    for (const producerId of log.transactions.openProducerIds) {
      const epoch = log.producers.epochOf(producerId)
      const marker = controlBatch('abort', producerId, epoch, Date.now())
      this.#attempt('the end of a transaction', () => log.append(marker, leaderEpoch, -1))
    }
  }

  /** Runs work whose failure no client is waiting for: the operator is told. */
  #attempt(what: string, action: () => void): void {
    try {
      action()
    } catch (error) {
      this.options.warn(`${what}: the storage fails (${(error as Error).message})`)
    }
  }

  #electLeader(partition: Partition): void {
    if (this.#alive.has(partition.leaderId)) return
    partition.moveLeader(this.inSyncReplicas(partition)[0] ?? NO_LEADER)
  }
}
