import type { BrokerNode } from '../../core/model.js'
import type { Topic } from './topic-table.js'

/** A partition as a metadata response describes it. */
export interface PartitionImage {
  readonly index: number
  /** -1: none. */
  readonly leaderId: number
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly inSync: readonly number[]
  readonly offline: readonly number[]
}

/** A topic as a metadata response describes it. */
export interface TopicImage {
  readonly name: string
  readonly id: string
  readonly partitions: readonly PartitionImage[]
}

/** What a node knows of the cluster. */
export interface ClusterImage {
  readonly liveNodes: readonly BrokerNode[]
  readonly controllerId: number
  topic(name: string): TopicImage | undefined
  topicById(id: string): TopicImage | undefined
  all(): readonly TopicImage[]
}

/** The topic as it is now; it does not follow later changes. */
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

/** What is known now, kept. */
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
