import { setTimeout as sleep } from 'node:timers/promises'
import type {
  ApiName,
  Faults,
  Operations,
  ProduceRecord,
  RecordOutcome,
  RequestOf,
  ResultOf,
  TopicPartition
} from 'castellan'

type Asked = Exclude<keyof Operations, 'produce'>
type WithoutRequester<Request> = Omit<Request, 'requester'>

/** A gateway on a cluster, which well-behaved clients and faults use side by side. */
export interface Scene {
  readonly bootstrap: string
  /** The base URL of the HTTP APIs. */
  readonly url: string
  /** Existing topics of one partition that have not been used before. */
  readonly freshTopics: readonly string[]
  readonly cluster: SceneCluster
  /** Injects faults into the embedded broker. `undefined`: the cluster is real Kafka. */
  readonly faults: Faults | undefined
  /** Sends one request to the Router. */
  ask<Operation extends Asked>(
    request: WithoutRequester<RequestOf<Operation>> & { readonly type: Operation }
  ): Promise<ResultOf<Operation>>
  produce(records: readonly ProduceRecord[], deadlineMs: number): Promise<readonly RecordOutcome[]>
  /** Writes a record batch unchanged. */
  writeRaw(topicPartition: TopicPartition, batch: Buffer): Promise<void>
  /** Returns a sealed batch of these values. */
  seal(values: readonly string[], codec: 'none' | 'gzip'): Buffer
}

export interface SceneCluster {
  readonly nodeIds: readonly number[]
  createTopic(topic: string, partitions: number): Promise<void>
  deleteTopic(topic: string): Promise<void>
  moveLeader(topic: string, partition: number, nodeId: number): Promise<void>
  pauseNode(nodeId: number): Promise<void>
  resumeNode(nodeId: number): Promise<void>
  coordinatorOf(groupId: string): Promise<number>
  /** Gives each node the coordinators back that it lost while it was away. Absent where a node never loses them. */
  electCoordinators?(): Promise<void>
}

/** The calls that a paused broker leaves unanswered. */
export const askedByClients: readonly ApiName[] = [
  'ApiVersions',
  'Metadata',
  'Produce',
  'Fetch',
  'ListOffsets',
  'FindCoordinator',
  'OffsetCommit',
  'OffsetFetch',
  'InitProducerId'
]

export const INNOCENT: TopicPartition = { topic: 'innocent', partition: 0 }
/** The node that faults pause: the last one. Nothing that the well-behaved clients use is on it. */
export const troubledNode = ({ nodeIds }: SceneCluster): number => nodeIds.at(-1)!

/**
 * Finds a group id whose coordinator is, or is not, the node that faults affect. Kafka may take all coordinators from a node
 * some seconds after it was back from a pause, when it notices the missed heartbeats: then the node gets them back first.
 */
export async function groupOn(cluster: SceneCluster, prefix: string, isTroubled: boolean): Promise<string> {
  for (let tries = 0; tries < 60; tries++) {
    for (let number = 0; number < 200; number++) {
      const groupId = `${prefix}-${number}`
      const nodeId = await cluster.coordinatorOf(groupId)
      if ((nodeId === troubledNode(cluster)) === isTroubled) return groupId
    }
    await cluster.electCoordinators?.()
    await sleep(500)
  }
  throw new Error('no such group was found')
}
