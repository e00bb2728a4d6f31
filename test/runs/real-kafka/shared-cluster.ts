import { setTimeout as sleep } from 'node:timers/promises'
import type { TargetCluster } from '../../support/target-cluster.js'
import type { KafkaCluster } from './cluster.js'

const MISSED_HEARTBEATS_NOTICED_MS = 1_500

let running: KafkaCluster | undefined

/** Called by the runner once the cluster is up. */
export function setRunningKafka(cluster: KafkaCluster | undefined): void {
  running = cluster
}

/** The real cluster that `npm run test:kafka` started for the tests of this folder. */
export function runningKafka(): KafkaCluster {
  if (!running) throw new Error('no Kafka is running: these tests are run by `npm run test:kafka`')
  return running
}

/** Real Kafka as the integration suite wants to see a cluster. */
export function asTarget(cluster: KafkaCluster): TargetCluster {
  /** Waits until all nodes take part, and gives them their coordinators back. */
  const recover = async (): Promise<void> => {
    await cluster.healed()
    await cluster.electCoordinators()
  }
  return {
    kind: 'kafka',
    bootstrap: cluster.bootstrap,
    nodeIds: cluster.nodeIds,
    createTopic: (topic, partitions) => cluster.createTopic(topic, partitions),
    deleteTopic: async topic => {
      await cluster.admin.ask('deleteTopic', topic)
    },
    growTopic: (topic, partitions) => cluster.growTopic(topic, partitions),
    deleteRecords: async (topic, partition, beforeOffset) => {
      await cluster.admin.ask('deleteRecords', topic, partition, beforeOffset)
    },
    leaderOf: async (topic, partition) => (await cluster.partitions(topic))[partition]?.leaderId ?? -1,
    moveLeader: (topic, partition, nodeId) => cluster.moveLeader(topic, partition, nodeId),
    loseEnd: async (topic, partition, write) => {
      await cluster.loseEnd(topic, partition, write)
      await cluster.electCoordinators()
    },
    killNode: nodeId => cluster.signal(nodeId, 'SIGKILL'),
    reviveNode: async nodeId => {
      cluster.startNode(nodeId)
      await recover()
    },
    pauseNode: nodeId => cluster.signal(nodeId, 'SIGSTOP'),
    resumeNode: async nodeId => {
      await cluster.signal(nodeId, 'SIGCONT')
      await recover()
      // After 8 to 11 s of silence the controller still takes the node's partitions away, up to a second after it is back.
      await sleep(MISSED_HEARTBEATS_NOTICED_MS)
      await recover()
    },
    electCoordinators: () => cluster.electCoordinators(),
    recovered: topics => cluster.recovered(...topics),
    close: async () => {}
  }
}
