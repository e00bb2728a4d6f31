import { InvalidRequestError } from '../core/errors.js'
import { isLegalTopicName } from '../core/model.js'
import { parseOptions } from '../core/settings/options.js'
import { prepareCompression } from '../kafka/compression.js'
import { Cluster } from './cluster.js'
import type { EmbeddedCluster, EmbeddedClusterOptions } from './embedded-cluster.js'
import { Node } from './node.js'
import { compactBatches, decodeStoredRecords } from './protocol/records.js'
import { saslMechanisms } from './sasl-mechanisms.js'
import { clusterOptions, type EmbeddedClusterSettings } from './settings.js'
import { directoryStorage } from './storage/directory-storage.js'
import { type FileSystem, nodeFileSystem } from './storage/file-bytes.js'
import { memoryStorage } from './storage/storage.js'
import type { Partition } from './topics/partition.js'
import type { Topic } from './topics/topic-table.js'

const MEBIBYTE = 1024 * 1024

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
  const cluster = new Cluster({
    defaultPartitions,
    autoCreateTopics,
    retentionBytes: settings.retentionBytes ?? (directory === undefined ? 128 : 1024) * MEBIBYTE,
    saslMechanisms: options.sasl && saslMechanisms(options.sasl),
    minSessionTimeoutMs,
    producerExpiration: {
      expirationMs: settings.producerIdExpirationMs,
      checkIntervalMs: settings.producerIdExpirationCheckMs
    },
    limits,
    listensEverywhere: advertisedHost === undefined && isWildcard(host),
    warn,
    storage: directory === undefined ? memoryStorage() : directoryStorage(directory, files, warn)
  })
  return runCluster(cluster, settings, options.tls)
}

/** True for an address that means all addresses of the machine. Clients cannot connect to such an address. */
const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'
const LOOPBACK = '127.0.0.1'

/** Starts the nodes of a cluster. */
async function runCluster(
  cluster: Cluster,
  { nodes: count, host, port, advertisedHost = isWildcard(host) ? LOOPBACK : host }: EmbeddedClusterSettings,
  tls: EmbeddedClusterOptions['tls']
): Promise<EmbeddedCluster> {
  const nodes = new Map<number, Node>()
  for (let nodeId = 1; nodeId <= count; nodeId++) {
    nodes.set(nodeId, new Node(nodeId, host, port === 0 ? 0 : port + nodeId - 1, cluster.connections, tls))
  }
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    await Promise.all(Array.from(nodes.values(), node => node.stop()))
    cluster.close()
  }
  try {
    for (const node of nodes.values()) await node.listen()
    for (const { nodeId, port } of nodes.values()) cluster.addNode({ nodeId, host: advertisedHost, port, rack: null })
    cluster.restore()
  } catch (error) {
    await close()
    throw error
  }
  for (const node of nodes.values()) node.serve(cluster)

  const topicOf = (topic: string): Topic => {
    const found = cluster.topics.get(topic)
    if (!found) throw new InvalidRequestError(`there is no topic ${topic}`, 'unknownTopic')
    return found
  }
  const partitionOf = (topic: string, partition: number): Partition => {
    const found = topicOf(topic).partitions[partition]
    if (!found) throw new InvalidRequestError(`there is no partition ${topic}/${partition}`, 'unknownPartition')
    return found
  }
  const nodeOf = (nodeId: number): Node => {
    const node = nodes.get(nodeId)
    if (!node) throw new InvalidRequestError(`there is no node ${nodeId}`)
    return node
  }
  return {
    get nodes() {
      return cluster.nodes
    },
    get bootstrap() {
      return cluster.nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',')
    },
    faults: cluster.faults,
    createTopic(topic, options = {}) {
      if (!isLegalTopicName(topic)) throw new InvalidRequestError(`"${topic}" is not a topic name`, 'invalidTopic')
      if (cluster.topics.get(topic)) throw new InvalidRequestError(`topic ${topic} exists`, 'invalidTopic')
      const { replicationFactor = 1, partitions = 1 } = options
      if (replicationFactor < 1 || replicationFactor > count || partitions < 1)
        throw new InvalidRequestError(`${partitions} partitions, ${replicationFactor} replicas on ${count} nodes`)
      const problem = cluster.capacityProblem(1, options.partitions ?? cluster.options.defaultPartitions)
      if (problem !== undefined) throw new InvalidRequestError(problem)
      cluster.createTopic(topic, options)
    },
    deleteTopic: topic => void cluster.deleteTopic(topic),
    growTopic: (topic, partitions) => cluster.growTopic(topicOf(topic), partitions),
    usage: () => ({
      connections: cluster.connections.taken,
      heldBytes: cluster.held.totalBytes,
      groupBytes: cluster.groups.bytes.heldBytes,
      topics: cluster.topics.count,
      partitions: cluster.topics.partitionCount
    }),
    leaderOf: (topic, partition) => partitionOf(topic, partition).leaderId,
    moveLeader(topic, partition, nodeId) {
      const found = partitionOf(topic, partition)
      if (!cluster.inSyncReplicas(found).includes(nodeId))
        throw new InvalidRequestError(`node ${nodeId} is not a live replica of ${topic}/${partition}`)
      found.moveLeader(nodeId)
      cluster.topicsChanged()
    },
    lagBehind: nodeId => cluster.lag(nodeOf(nodeId).nodeId),
    truncate(topic, partition, offset) {
      const found = partitionOf(topic, partition)
      found.log.truncate(offset)
      found.beginTerm()
      cluster.topicsChanged()
    },
    async stopNode(nodeId) {
      const node = nodeOf(nodeId)
      cluster.nodeStopped(nodeId)
      await node.stop()
    },
    async startNode(nodeId, { port } = {}) {
      const node = nodeOf(nodeId)
      if (cluster.isAlive(nodeId)) return
      await node.listen(port)
      cluster.addNode({ nodeId, host: advertisedHost, port: node.port, rack: null })
      cluster.nodeStarted(nodeId)
      node.serve(cluster)
    },
    records(topic, partition) {
      const { log } = partitionOf(topic, partition)
      return [...log.batches()]
        .filter(batch => !batch.isControl)
        .flatMap(batch => decodeStoredRecords(batch))
        .filter(({ offset }) => offset >= log.logStartOffset)
        .map(({ offset, timestampMs, key, value, headers }) => ({ offset, timestampMs, key, value, headers }))
    },
    appendRaw(topic, partition, bytes) {
      const { log, leaderEpoch } = partitionOf(topic, partition)
      log.appendRaw(bytes, leaderEpoch)
    },
    compact(topic, partition) {
      const { log } = partitionOf(topic, partition)
      log.replace(compactBatches([...log.batches()]))
    },
    requestCount: (api, nodeId) => cluster.requestCount(api, nodeId),
    logStartOffset: (topic, partition) => partitionOf(topic, partition).log.logStartOffset,
    highWatermark: (topic, partition) => partitionOf(topic, partition).log.highWatermark,
    close: () => (closing ??= close())
  }
}
