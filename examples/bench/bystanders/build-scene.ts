import type { BrokerClientFactory, Faults, RouterHandle } from 'castellan'
import { INNOCENT, type Scene, type SceneCluster, troubledNode } from './scene.js'

export interface SceneParts {
  readonly bootstrap: string
  readonly url: string
  readonly cluster: Omit<SceneCluster, 'coordinatorOf'>
  readonly faults: Faults | undefined
  readonly router: RouterHandle
  readonly produce: Scene['produce']
  readonly createClient: BrokerClientFactory
  readonly askRouter: typeof import('castellan').askRouter
  readonly seal: Scene['seal']
  /** Number of topics that are unused at the start. */
  readonly freshTopics: number
}

/** Creates the topics of the well-behaved clients on other nodes than the one that faults affect. */
export async function buildScene(parts: SceneParts): Promise<Scene> {
  const { cluster, router, askRouter } = parts
  const [host = '', port] = parts.bootstrap.split(',')[0]!.split(':')
  const client = parts.createClient({ host, port: Number(port) }, 'scene')
  const freshTopics = Array.from({ length: parts.freshTopics }, (_, at) => `fresh-${at}`)
  const quietNode = cluster.nodeIds.find(nodeId => nodeId !== troubledNode(cluster as SceneCluster))!
  for (const topic of [INNOCENT.topic, 'pushed', ...freshTopics]) {
    await cluster.createTopic(topic, 1)
    await cluster.moveLeader(topic, 0, quietNode)
  }
  return {
    ...parts,
    freshTopics,
    cluster: {
      ...cluster,
      coordinatorOf: async groupId => (await client.findCoordinator({ groupId })).coordinator.nodeId
    },
    ask: request => askRouter(router.ref, request as never) as never,
    writeRaw: async ({ topic, partition }, bytes) => {
      const leader = parts.createClient(await leaderOf(topic), 'scene')
      await leader.produce({ acks: -1, brokerTimeoutMs: 5_000, partitions: [{ topic, partition, bytes }] })
      await leader.close()
    }
  }

  async function leaderOf(topic: string) {
    const { brokers, topics } = await client.metadata({ topics: [topic], allowAutoTopicCreation: false })
    return brokers.find(({ nodeId }) => nodeId === topics[0]?.partitions[0]?.leaderId)!
  }
}
