import { randomBytes } from 'node:crypto'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import { askedByClients } from '../../examples/bench/bystanders/scene.js'
import type { ApiName, Fault, Faults } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'

/** What the integration suite asks of a cluster, whether it is the embedded one or real Kafka. Three nodes, always. */
export interface TargetCluster {
  readonly kind: 'embedded' | 'kafka'
  /** `127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094` */
  readonly bootstrap: string
  readonly nodeIds: readonly number[]
  /** Replicated on all nodes; resolves when every partition has a leader. */
  createTopic(topic: string, partitions: number): Promise<void>
  deleteTopic(topic: string): Promise<void>
  growTopic(topic: string, partitions: number): Promise<void>
  /** Everything before the offset goes, as by retention. */
  deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void>
  leaderOf(topic: string, partition: number): Promise<number>
  /** Resolves when the node leads. */
  moveLeader(topic: string, partition: number, nodeId: number): Promise<void>
  /**
   * Writes to a partition, and loses it again: the log ends where it did before, and a new leader goes on there, as after an
   * unclean election.
   */
  loseEnd(topic: string, partition: number, write: () => Promise<unknown>): Promise<void>
  /** Ends a node without warning. */
  killNode(nodeId: number): Promise<void>
  /** Starts it again; resolves when it takes part. */
  reviveNode(nodeId: number): Promise<void>
  /** Makes a node silent: it keeps its connections and answers nothing, until it is told to go on. */
  pauseNode(nodeId: number): Promise<void>
  resumeNode(nodeId: number): Promise<void>
  /** Gives each node the coordinators back that it lost while it was away. Absent where a node never loses them. */
  electCoordinators?(): Promise<void>
  /** Resolves when all replicas of all partitions of these topics are in sync, so that losing one loses no records. */
  recovered(topics: readonly string[]): Promise<void>
  /** Of the embedded cluster; real Kafka takes no orders to misbehave. */
  readonly faults?: Faults
  /** Of a shared cluster: does nothing. */
  close(): Promise<void>
}

let shared: TargetCluster | undefined

/** Makes every later `targetCluster` be this one; `npm run test:kafka` calls it with real Kafka. */
export function shareTarget(cluster: TargetCluster | undefined): void {
  shared = cluster
}

/** Whether the suite runs against real Kafka; known before the first test. */
export const isOnRealKafka = (): boolean => shared?.kind === 'kafka'

/** The cluster to test against: real Kafka when one was shared, a fresh embedded cluster otherwise. */
export async function targetCluster(): Promise<TargetCluster> {
  return shared ?? embeddedTarget()
}

async function embeddedTarget(): Promise<TargetCluster> {
  const cluster = await startEmbeddedCluster({ nodes: 3, producerIdExpirationCheckMs: 1_000 })
  const silences = new Map<number, readonly Fault[]>()
  return {
    kind: 'embedded',
    bootstrap: cluster.bootstrap,
    nodeIds: cluster.nodes.map(node => node.nodeId),
    createTopic: async (topic, partitions) => cluster.createTopic(topic, { partitions, replicationFactor: 3 }),
    deleteTopic: async topic => cluster.deleteTopic(topic),
    growTopic: async (topic, partitions) => cluster.growTopic(topic, partitions),
    deleteRecords: (topic, partition, beforeOffset) => deleteRecords(cluster.bootstrap, topic, partition, beforeOffset),
    leaderOf: async (topic, partition) => cluster.leaderOf(topic, partition),
    moveLeader: async (topic, partition, nodeId) => cluster.moveLeader(topic, partition, nodeId),
    loseEnd: async (topic, partition, write) => {
      const end = cluster.highWatermark(topic, partition)
      await write()
      cluster.truncate(topic, partition, end)
    },
    killNode: nodeId => cluster.stopNode(nodeId),
    reviveNode: nodeId => cluster.startNode(nodeId),
    pauseNode: async nodeId => {
      const silence = (api: ApiName) => cluster.faults.add({ api, nodeId, count: Infinity }, { type: 'dropRequest' })
      silences.set(nodeId, askedByClients.map(silence))
    },
    resumeNode: async nodeId => {
      for (const fault of silences.get(nodeId) ?? []) fault.remove()
    },
    // Replicas of the embedded broker share one log.
    recovered: async () => {},
    faults: cluster.faults,
    close: () => cluster.close()
  }
}

const silent = new WeakSet<TargetCluster>()

/** Makes all nodes silent, until {@link resumeAll}. */
export async function pauseAll(cluster: TargetCluster): Promise<void> {
  silent.add(cluster)
  await Promise.all(cluster.nodeIds.map(node => cluster.pauseNode(node)))
}

/** Does nothing where they are not silent. */
export async function resumeAll(cluster: TargetCluster): Promise<void> {
  if (silent.delete(cluster)) await Promise.all(cluster.nodeIds.map(node => cluster.resumeNode(node)))
}

/** Deletes a topic and creates another one of its name. Kafka takes a moment to forget the name. */
export async function recreateTopic(cluster: TargetCluster, topic: string, partitions = 1): Promise<void> {
  await cluster.deleteTopic(topic)
  for (const giveUpAt = performance.now() + 5_000; ; ) {
    try {
      await cluster.createTopic(topic, partitions)
      return
    } catch (error) {
      if (performance.now() > giveUpAt) throw error
    }
  }
}

/** Does something as a client of administration that nobody here wrote. */
export async function withAdmin<Result>(bootstrap: string, act: (admin: Admin) => Promise<Result>): Promise<Result> {
  const admin = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await act(admin)
  } finally {
    await admin.disconnect()
  }
}

/** Deletes the records of a partition that come before an offset. */
export const deleteRecords = (
  bootstrap: string,
  topic: string,
  partition: number,
  beforeOffset: number
): Promise<void> =>
  withAdmin(bootstrap, async admin => {
    // Makes kafkajs look the topic up, which deleteTopicRecords alone does not.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(beforeOffset) }] })
  })

/** A topic name nobody used before, so that tests can share a cluster. */
export const freshTopic = (name: string): string => `${name}-${randomBytes(4).toString('hex')}`
