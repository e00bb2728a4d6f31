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
  /** Where the HTTP APIs are. */
  readonly url: string
  /** Existing topics of one partition that have not been used before. */
  readonly freshTopics: readonly string[]
  readonly cluster: SceneCluster
  /** The embedded broker's; real Kafka has none. */
  readonly faults: Faults | undefined
  /** One request to the Router. */
  ask<Operation extends Asked>(
    request: WithoutRequester<RequestOf<Operation>> & { readonly type: Operation }
  ): Promise<ResultOf<Operation>>
  produce(records: readonly ProduceRecord[], deadlineMs: number): Promise<readonly RecordOutcome[]>
  /** Writes a record batch as it is. */
  writeRaw(topicPartition: TopicPartition, batch: Buffer): Promise<void>
  /** A sealed batch of these values. */
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
}

/** What a paused broker does not answer. */
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
/** All that innocents use stays away from this node, which is paused; it is the last one. */
export const troubledNode = ({ nodeIds }: SceneCluster): number => nodeIds.at(-1)!

/** A name whose coordinator is, or is not, on the node of the troubles. */
export async function groupOn(cluster: SceneCluster, prefix: string, isTroubled: boolean): Promise<string> {
  for (let number = 0; number < 200; number++) {
    const groupId = `${prefix}-${number}`
    const nodeId = await cluster.coordinatorOf(groupId)
    if ((nodeId === troubledNode(cluster)) === isTroubled) return groupId
  }
  throw new Error('no such group was found')
}
