import { getOrAdd } from '../core/maps.js'
import { type BrokerNode, isLegalTopicName } from '../core/model.js'
import { messageOf } from '../core/node-errors.js'
import type { ApiName, TopicOptions } from './embedded-cluster.js'
import { FaultTable } from './faults.js'
import { FetchSessions } from './fetch-sessions.js'
import { GroupCoordinator } from './groups/group-coordinator.js'
import type { ProducerExpiration } from './log/batch-history.js'
import { type Recovery, SegmentedLog } from './log/partition-log.js'
import { controlBatch } from './protocol/record-batch.js'
import type { SaslExchange } from './sasl-mechanisms.js'
import type { EmbeddedLimits } from './settings.js'
import { ShareGroups } from './share/share-groups.js'
import { FramePool, HeldBytes } from './shared-capacity.js'
import type { Storage } from './storage/storage.js'
import { NO_LEADER, type StoredPartition } from './topics/partition.js'
import { toTopicConfig } from './topics/topic-config.js'
import { type ClusterImage, frozen, imageOf, type Topic, TopicTable } from './topics/topic-table.js'
import { ProducerIds, TransactionCoordinator } from './transaction-coordinator.js'

export interface ClusterOptions {
  readonly defaultPartitions: number
  readonly autoCreateTopics: boolean
  readonly retentionBytes: number
  readonly minSessionTimeoutMs: number
  readonly producerExpiration: ProducerExpiration
  readonly limits: EmbeddedLimits
  /** True: metadata gives each client the address to which it has connected. */
  readonly listensEverywhere: boolean
  readonly warn: (message: string) => void
  /** Undefined: clients need not authenticate. */
  readonly saslMechanisms: ReadonlyMap<string, () => SaslExchange> | undefined
  readonly storage: Storage
}

/** Duration of the creation of a topic by a metadata request. Real brokers needed 56 to 154 ms. */
const AUTO_CREATE_MS = 100
/** Approximate number of segments of a full partition. Retention drops one segment at a time. */
const SEGMENTS_PER_LOG = 16
const LARGEST_SEGMENT_BYTES = 16 * 1024 * 1024

/** The state that all nodes share: live nodes, topics and their leaders, groups, producer ids. It has no sockets. */
export class ServedCluster {
  readonly clusterId: string
  readonly options: ClusterOptions
  readonly faults = new FaultTable()
  readonly topics: TopicTable
  readonly producerIds: ProducerIds
  readonly groups: GroupCoordinator
  readonly transactions: TransactionCoordinator
  readonly shareGroups: ShareGroups
  readonly held: HeldBytes
  readonly framePool = new FramePool()
  readonly fetchSessions = new FetchSessions()
  /** Connections to all nodes. */
  readonly connections: { taken: number; readonly most: number }
  readonly #requestCounts = new Map<ApiName, Map<number, number>>()
  readonly #nodes = new Map<number, BrokerNode>()
  readonly #alive = new Set<number>()
  readonly #creating = new Map<string, NodeJS.Timeout>()
  /** The metadata of nodes that lag behind. */
  readonly #oldImages = new Map<number, ClusterImage>()

  constructor(options: ClusterOptions) {
    this.clusterId = options.storage.cluster.clusterId
    this.options = options
    const { storage, limits } = options
    this.held = new HeldBytes(limits.maxHeldBytes)
    this.connections = { taken: 0, most: limits.maxConnections }
    this.producerIds = new ProducerIds(storage.cluster)
    this.groups = new GroupCoordinator(storage.offsets, options.minSessionTimeoutMs, limits.maxGroupBytes)
    this.transactions = new TransactionCoordinator(this.producerIds, this.groups.offsets)
    const segmentBytes = Math.max(1024, Math.min(LARGEST_SEGMENT_BYTES, options.retentionBytes / SEGMENTS_PER_LOG))
    this.topics = new TopicTable({
      openLog(topic, partition, { logStartOffset, leaderEpoch, endOffset, isCompacted }, isNew) {
        const { open, baseOffsets, rollsAtGaps, quarantine } = storage.logs.open(topic, partition, isNew)
        const log = new SegmentedLog({ open, segmentBytes, rollsAtGaps })
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
        storage.logs.remove(topic, partition)
      }
    })
    this.shareGroups = new ShareGroups(this.topics, this.groups)
  }

  /** The metadata in the responses of a node: the current metadata, unless the node lags behind. */
  imageOf(nodeId: number): ClusterImage {
    return this.#oldImages.get(nodeId) ?? this.image
  }

  /** Lets the node answer with the metadata of this moment until the returned function is called. */
  lag(nodeId: number): () => void {
    const old = frozen(this.image)
    this.#oldImages.set(nodeId, old)
    return () => {
      if (this.#oldImages.get(nodeId) === old) this.#oldImages.delete(nodeId)
    }
  }

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
  /** The live node with the lowest id; -1: no node is live. */
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

  /** Restores the state from the directory. The nodes must exist before. */
  restore(): void {
    for (const { partitions, ...topic } of this.options.storage.cluster.topics) {
      const restored = partitions.map(({ replicas, leaderEpoch, logStartOffset, endOffset }, index) => {
        const known = replicas.filter(nodeId => this.#nodes.has(nodeId))
        // If the cluster now has fewer nodes and all replicas are gone, an existing node becomes replica and leader.
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
    this.shareGroups.sessions.nodeStopped(nodeId)
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

  inSyncReplicas(partition: StoredPartition): number[] {
    return partition.replicas.filter(nodeId => this.#alive.has(nodeId))
  }

  /** The coordinator of a group or transaction: the same node as long as this node lives. */
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

  /** Returns consecutive nodes, so that leaders are distributed among all nodes. */
  assignReplicas(partition: number, count: number): number[] {
    const ids = [...this.#nodes.keys()]
    return Array.from({ length: count }, (_, replica) => ids[(partition + replica) % ids.length]!)
  }

  /** The error when the given numbers of new topics and new partitions exceed a limit; undefined: there is capacity. */
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

  /** Creates a topic after a short time, because a metadata request has named it. */
  autoCreate(name: string): void {
    if (!this.options.autoCreateTopics || this.#creating.has(name)) return
    if (!isLegalTopicName(name) || this.topics.collidingWith(name)) return
    const begun = this.#creating.size
    if (this.capacityProblem(begun + 1, (begun + 1) * this.options.defaultPartitions)) return
    const create = () => {
      this.#creating.delete(name)
      if (this.topics.get(name) || this.topics.collidingWith(name)) return
      // After a failure the client asks again, which starts another attempt.
      this.#attempt(`topic ${name}`, () => this.createTopic(name))
    }
    this.#creating.set(name, setTimeout(create, AUTO_CREATE_MS))
  }

  /** Deletes the oldest segments when a partition exceeds the limit. */
  retain(partition: StoredPartition): void {
    const own = this.topics.get(partition.topic)?.config.retentionBytes ?? -1
    const limit = this.options.retentionBytes
    const before = partition.log.logStartOffset
    this.#attempt(`old segments of ${partition.topic}/${partition.index}`, () =>
      partition.log.retain(own < 0 ? limit : Math.min(own, limit))
    )
    if (partition.log.logStartOffset !== before) this.topicsChanged()
  }

  /** Stores the topics. Must be called after every change of topics, settings, leaders or log starts. */
  topicsChanged(): void {
    this.options.storage.cluster.saveTopics(() => this.topics.describe())
    this.shareGroups.topicsChanged()
  }

  count(api: ApiName, nodeId: number): void {
    const byNode = getOrAdd(this.#requestCounts, api, () => new Map())
    byNode.set(nodeId, (byNode.get(nodeId) ?? 0) + 1)
  }

  /** @param nodeId absent: the requests to all nodes are counted */
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
    this.shareGroups.close()
    this.options.storage.close()
  }

  /** Aborts the open transactions after a restart. No producer can end them, so readers would wait forever. */
  #abortOpenTransactions({ log, leaderEpoch }: StoredPartition): void {
    for (const producerId of log.transactions.openProducerIds) {
      const epoch = log.producers.epochOf(producerId)
      const marker = controlBatch('abort', producerId, epoch, Date.now())
      this.#attempt('the end of a transaction', () => log.append(marker, leaderEpoch, -1))
    }
  }

  /** Runs work that no client waits for, and reports a failure to the operator. */
  #attempt(what: string, action: () => void): void {
    try {
      action()
    } catch (error) {
      this.options.warn(`${what}: the storage fails (${messageOf(error)})`)
    }
  }

  #electLeader(partition: StoredPartition): void {
    if (this.#alive.has(partition.leaderId)) return
    partition.moveLeader(this.inSyncReplicas(partition)[0] ?? NO_LEADER)
  }
}
