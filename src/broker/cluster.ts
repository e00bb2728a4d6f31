import type { EmbeddedLimits } from '../config/embedded-limits.js'
import { type BrokerNode, isLegalTopicName } from '../model.js'
import { ConnectionLimit } from './connection-limit.js'
import type { ApiName, TopicOptions } from './embedded-cluster.js'
import { FaultTable } from './faults.js'
import { FramePool } from './frame-pool.js'
import { GroupCoordinator } from './groups/group-coordinator.js'
import { HeldBytes } from './held-bytes.js'
import { PartitionLog, type Recovery } from './log/partition-log.js'
import { ProducerIds } from './producer-ids.js'
import { controlBatch } from './protocol/control-batch.js'
import type { SaslExchange } from './sasl/sasl-exchange.js'
import type { Storage } from './storage/storage.js'
import { NO_LEADER, type Partition } from './topics/partition.js'
import { type Topic, TopicTable } from './topics/topic-table.js'
import { TransactionCoordinator } from './transactions/transaction-coordinator.js'

export interface ClusterOptions {
  readonly defaultPartitions: number
  readonly autoCreateTopics: boolean
  readonly retentionBytes: number
  readonly minSessionTimeoutMs: number
  readonly limits: EmbeddedLimits
  /** True: each client is told the address at which it has reached us. */
  readonly listensEverywhere: boolean
  /** Tells the operator, in a sentence. */
  readonly warn: (message: string) => void
  /** Undefined: nobody need authenticate. */
  readonly saslMechanisms: ReadonlyMap<string, () => SaslExchange> | undefined
  readonly storage: Storage
}

/** How long a topic that a metadata request asked for stays unknown. Real brokers were seen to take 56-154 ms. */
const AUTO_CREATE_MS = 100
/** A partition is kept in about so many segments, so that retention can drop one at a time. */
const SEGMENTS_PER_LOG = 16
const LARGEST_SEGMENT_BYTES = 16 * 1024 * 1024

/** What all nodes share: who is alive, topics and their leaders, groups, producer ids. No sockets. */
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
  readonly connections: ConnectionLimit
  readonly requestCounts = new Map<ApiName, number>()
  readonly #nodes = new Map<number, BrokerNode>()
  readonly #alive = new Set<number>()
  readonly #creating = new Map<string, NodeJS.Timeout>()

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
      openLog(topic, partition, { logStartOffset, leaderEpoch }, isNew) {
        const { open, baseOffsets, rollsAtGaps, quarantine } = storage.openLog(topic, partition, isNew)
        const log = new PartitionLog({ open, segmentBytes, rollsAtGaps })
        const damaged: Recovery['damaged'] = ({ position, sizeBytes, fromOffset, toOffset }, baseOffset, bytes) => {
          const where = quarantine(baseOffset, position, bytes)
          const lost = `offsets ${fromOffset} to ${toOffset - 1} of ${topic}/${partition} cannot be read`
          options.warn(`${sizeBytes} damaged bytes at ${position} in ${where}: ${lost}`)
        }
        log.recover({ baseOffsets, logStartOffset, newestEpoch: leaderEpoch, damaged })
        return log
      },
      removeLog(topic, partition, log) {
        log.remove()
        storage.removeLog(topic, partition)
      }
    })
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

  /** Makes again what the directory knows. Nodes are there already. */
  restore(): void {
    for (const { partitions, ...topic } of this.options.storage.topics()) {
      const restored = partitions.map(({ replicas, leaderEpoch, logStartOffset }, index) => {
        const known = replicas.filter(nodeId => this.#nodes.has(nodeId))
        // Fewer nodes than last time: somebody must have it. Whoever leads, it is a new term.
        return {
          replicas: known.length > 0 ? known : this.assignReplicas(index, 1),
          leaderEpoch: leaderEpoch + 1,
          logStartOffset
        }
      })
      this.topics.add({ ...topic, partitions: restored }, false)
    }
    for (const partition of this.topics.partitions()) this.#abortOpenTransactions(partition)
    this.topicsChanged()
  }

  nodeStopped(nodeId: number): void {
    this.#alive.delete(nodeId)
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
      options.config
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

  /** Neighbouring nodes, so that leaders go round. */
  assignReplicas(partition: number, count: number): number[] {
    const ids = [...this.#nodes.keys()]
    return Array.from({ length: count }, (_, replica) => ids[(partition + replica) % ids.length]!)
  }

  /** Why there is no room for a topic of so many partitions, or for so many more of one; undefined: there is. */
  roomProblem(newTopics: number, newPartitions: number): string | undefined {
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

  /** A metadata request asked for a topic that is not there: it will be, a moment later. */
  autoCreate(name: string): void {
    if (!this.options.autoCreateTopics || this.#creating.has(name)) return
    if (!isLegalTopicName(name) || this.topics.collidingWith(name)) return
    const begun = this.#creating.size
    if (this.roomProblem(begun + 1, (begun + 1) * this.options.defaultPartitions)) return
    const create = () => {
      this.#creating.delete(name)
      if (this.topics.get(name) || this.topics.collidingWith(name)) return
      // The client goes on asking, and each time it is tried again.
      this.#attempt(`topic ${name}`, () => this.createTopic(name))
    }
    this.#creating.set(name, setTimeout(create, AUTO_CREATE_MS))
  }

  /** Oldest segments go when a partition has outgrown the limit. */
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

  count(api: ApiName): void {
    this.requestCounts.set(api, (this.requestCounts.get(api) ?? 0) + 1)
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

  /** Nobody is left who could end them, and readers would wait for ever. */
  #abortOpenTransactions({ log, leaderEpoch }: Partition): void {
    for (const producerId of log.transactions.openProducerIds) {
      const epoch = log.producers.epochOf(producerId)
      const marker = controlBatch('abort', producerId, epoch, Date.now())
      this.#attempt('the end of a transaction', () => log.append(marker, leaderEpoch, -1))
    }
  }

  /** Something whose failure is nobody's answer: the operator is told. */
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
