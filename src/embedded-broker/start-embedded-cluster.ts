import { MIB } from '../core/bytes.js'
import { InvalidRequestError } from '../core/errors.js'
import { type BrokerNode, isLegalTopicName, type KafkaRecord, type Offset } from '../core/model.js'
import { parseOptions } from '../core/settings/options.js'
import { prepareCompression } from '../kafka/compression.js'
import { ServedCluster } from './cluster.js'
import type {
  ApiName,
  EmbeddedCluster,
  EmbeddedClusterOptions,
  EmbeddedUsage,
  TopicOptions
} from './embedded-cluster.js'
import { Node } from './node.js'
import { compactBatches, decodeStoredRecords } from './protocol/records.js'
import { saslMechanisms } from './sasl-mechanisms.js'
import { clusterOptions, type EmbeddedClusterSettings } from './settings.js'
import { directoryStorage } from './storage/directory-storage.js'
import { type FileSystem, nodeFileSystem } from './storage/file-bytes.js'
import { memoryStorage } from './storage/storage.js'
import type { StoredPartition } from './topics/partition.js'
import type { Topic } from './topics/topic-table.js'

/**
 * Starts the nodes and listens. Rejects when a port is taken.
 *
 * @throws ConfigError that names every wrong option; Error with the code `EADDRINUSE` when a port is taken
 */
export const startEmbeddedCluster = (options: EmbeddedClusterOptions = {}): Promise<EmbeddedCluster> =>
  startClusterOn(nodeFileSystem, options)

/** Like {@link startEmbeddedCluster}, for tests with a full disk. */
export async function startClusterOn(files: FileSystem, options: EmbeddedClusterOptions): Promise<EmbeddedCluster> {
  const settings = parseOptions(clusterOptions, options, 'startEmbeddedCluster')
  const { directory, advertisedHost, host, limits, defaultPartitions, autoCreateTopics, minSessionTimeoutMs } = settings
  const { warn = message => process.emitWarning(message, 'EmbeddedBrokerWarning') } = options
  await prepareCompression()
  let running: RunningCluster | undefined
  const onLost = (): void => void running?.close()
  const cluster = new ServedCluster({
    defaultPartitions,
    autoCreateTopics,
    retentionBytes: settings.retentionBytes ?? (directory === undefined ? 128 : 1024) * MIB,
    saslMechanisms: options.sasl && saslMechanisms(options.sasl),
    minSessionTimeoutMs,
    producerExpiration: {
      expirationMs: settings.producerIdExpirationMs,
      checkIntervalMs: settings.producerIdExpirationCheckMs
    },
    limits,
    listensEverywhere: advertisedHost === undefined && isWildcard(host),
    warn,
    storage: directory === undefined ? memoryStorage() : await directoryStorage(directory, files, { warn, onLost })
  })
  running = new RunningCluster(cluster, settings, options.tls)
  await running.start()
  return running
}

/** True for an address that means all addresses of the machine. Clients cannot connect to such an address. */
const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'
const LOOPBACK = '127.0.0.1'

/** The nodes of a cluster, and what tests and tools do with them. */
class RunningCluster implements EmbeddedCluster {
  readonly faults: EmbeddedCluster['faults']
  readonly #cluster: ServedCluster
  readonly #nodes = new Map<number, Node>()
  readonly #advertisedHost: string
  readonly closed: Promise<void>
  #end!: (closing: Promise<void>) => void
  #isClosing = false

  constructor(cluster: ServedCluster, settings: EmbeddedClusterSettings, tls: EmbeddedClusterOptions['tls']) {
    const { nodes, host, port, advertisedHost = isWildcard(host) ? LOOPBACK : host } = settings
    this.faults = cluster.faults
    this.closed = new Promise(resolve => {
      this.#end = resolve
    })
    this.#cluster = cluster
    this.#advertisedHost = advertisedHost
    for (let nodeId = 1; nodeId <= nodes; nodeId++)
      this.#nodes.set(nodeId, new Node(nodeId, host, port === 0 ? 0 : port + nodeId - 1, cluster.connections, tls))
  }

  /** @throws when a port is taken, or the state in the directory cannot be restored; nothing listens then */
  async start(): Promise<void> {
    try {
      for (const node of this.#nodes.values()) await node.listen()
      for (const node of this.#nodes.values()) this.#announce(node)
      this.#cluster.restore()
    } catch (error) {
      await this.close()
      throw error
    }
    for (const node of this.#nodes.values()) node.serve(this.#cluster)
  }

  #announce({ nodeId, port }: Node): void {
    this.#cluster.addNode({ nodeId, host: this.#advertisedHost, port, rack: null })
  }

  get nodes(): readonly BrokerNode[] {
    return this.#cluster.nodes
  }

  get bootstrap(): string {
    return this.nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',')
  }

  createTopic(topic: string, options: TopicOptions = {}): void {
    if (!isLegalTopicName(topic)) throw new InvalidRequestError(`"${topic}" is not a topic name`, 'invalidTopic')
    if (this.#cluster.topics.get(topic)) throw new InvalidRequestError(`topic ${topic} exists`, 'invalidTopic')
    const { replicationFactor = 1, partitions = 1 } = options
    const count = this.#nodes.size
    if (replicationFactor < 1 || replicationFactor > count || partitions < 1)
      throw new InvalidRequestError(`${partitions} partitions, ${replicationFactor} replicas on ${count} nodes`)
    const newPartitions = options.partitions ?? this.#cluster.options.defaultPartitions
    const problem = this.#cluster.capacityProblem(1, newPartitions)
    if (problem !== undefined) throw new InvalidRequestError(problem)
    this.#cluster.createTopic(topic, options)
  }

  deleteTopic(topic: string): void {
    this.#cluster.deleteTopic(topic)
  }

  growTopic(topic: string, partitions: number): void {
    this.#cluster.growTopic(this.#topic(topic), partitions)
  }

  usage(): EmbeddedUsage {
    const { connections, held, groups, topics } = this.#cluster
    return {
      connections: connections.taken,
      heldBytes: held.totalBytes,
      groupBytes: groups.bytes.heldBytes,
      topics: topics.count,
      partitions: topics.partitionCount
    }
  }

  leaderOf(topic: string, partition: number): number {
    return this.#partition(topic, partition).leaderId
  }

  moveLeader(topic: string, partition: number, nodeId: number): void {
    const found = this.#partition(topic, partition)
    if (!this.#cluster.inSyncReplicas(found).includes(nodeId))
      throw new InvalidRequestError(`node ${nodeId} is not a live replica of ${topic}/${partition}`)
    found.moveLeader(nodeId)
    this.#cluster.topicsChanged()
  }

  lagBehind(nodeId: number): () => void {
    return this.#cluster.lag(this.#node(nodeId).nodeId)
  }

  endLocks(topic: string, groupId?: string): void {
    this.#cluster.shareGroups.endLocks(this.#topic(topic).name, groupId)
  }

  truncate(topic: string, partition: number, offset: Offset): void {
    const found = this.#partition(topic, partition)
    found.log.truncate(offset)
    found.beginTerm()
    this.#cluster.topicsChanged()
  }

  async stopNode(nodeId: number): Promise<void> {
    const node = this.#node(nodeId)
    this.#cluster.nodeStopped(nodeId)
    await node.stop()
  }

  async startNode(nodeId: number, { port }: { readonly port?: number } = {}): Promise<void> {
    const node = this.#node(nodeId)
    if (this.#cluster.isAlive(nodeId)) return
    await node.listen(port)
    this.#announce(node)
    this.#cluster.nodeStarted(nodeId)
    node.serve(this.#cluster)
  }

  records(topic: string, partition: number): KafkaRecord[] {
    const { log } = this.#partition(topic, partition)
    return [...log.batches()]
      .filter(batch => !batch.isControl)
      .flatMap(batch => decodeStoredRecords(batch))
      .filter(({ offset }) => offset >= log.logStartOffset)
      .map(({ offset, timestampMs, key, value, headers }) => ({ offset, timestampMs, key, value, headers }))
  }

  appendRaw(topic: string, partition: number, bytes: Buffer): void {
    const { log, leaderEpoch } = this.#partition(topic, partition)
    log.appendRaw(bytes, leaderEpoch)
  }

  compact(topic: string, partition: number): void {
    const { log } = this.#partition(topic, partition)
    log.replace(compactBatches([...log.batches()]))
  }

  requestCount(api: ApiName, nodeId?: number): number {
    return this.#cluster.requestCount(api, nodeId)
  }

  logStartOffset(topic: string, partition: number): Offset {
    return this.#partition(topic, partition).log.logStartOffset
  }

  highWatermark(topic: string, partition: number): Offset {
    return this.#partition(topic, partition).log.highWatermark
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  close(): Promise<void> {
    if (!this.#isClosing) this.#end(this.#close())
    this.#isClosing = true
    return this.closed
  }

  async #close(): Promise<void> {
    await Promise.all(Array.from(this.#nodes.values(), node => node.stop()))
    this.#cluster.close()
  }

  #topic(topic: string): Topic {
    const found = this.#cluster.topics.get(topic)
    if (!found) throw new InvalidRequestError(`there is no topic ${topic}`, 'unknownTopic')
    return found
  }

  #partition(topic: string, partition: number): StoredPartition {
    const found = this.#topic(topic).partitions[partition]
    if (!found) throw new InvalidRequestError(`there is no partition ${topic}/${partition}`, 'unknownPartition')
    return found
  }

  #node(nodeId: number): Node {
    const node = this.#nodes.get(nodeId)
    if (!node) throw new InvalidRequestError(`there is no node ${nodeId}`)
    return node
  }
}
