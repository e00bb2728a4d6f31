import { type TargetCluster, targetCluster } from '../../support/target-cluster.js'
import { KafkaCluster } from '../real-kafka/cluster.js'
import { requirePrograms } from '../real-kafka/requirements.js'
import { asTarget } from '../real-kafka/shared-cluster.js'

/** Where the tools of this folder run. */
export const CLUSTERS = ['embedded', 'kafka'] as const
export type ClusterName = (typeof CLUSTERS)[number]

/** Starts a cluster of three nodes. */
export async function clusterOf(
  where: ClusterName
): Promise<{ readonly target: TargetCluster; close(): Promise<void> }> {
  if (where === 'embedded') {
    const target = await targetCluster()
    return { target, close: () => target.close() }
  }
  requirePrograms('java', 'keytool', 'mvn', 'kcat')
  const cluster = await KafkaCluster.start()
  return { target: asTarget(cluster), close: () => cluster.stop() }
}
