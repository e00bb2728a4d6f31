import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { RawKafka } from '../support/raw-kafka.js'

/** Opens clusters and clients for the tests of a suite. Those that are still open after a test are closed. */
export function brokersOfTests() {
  const clusters: EmbeddedCluster[] = []
  const clients: RawKafka[] = []
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    await Promise.all(clusters.splice(0).map(cluster => cluster.close()))
  })
  return {
    async start(...options: Parameters<typeof startEmbeddedCluster>): Promise<EmbeddedCluster> {
      const cluster = await startEmbeddedCluster(...options)
      clusters.push(cluster)
      return cluster
    },
    async connect(node: Parameters<typeof RawKafka.connect>[0]): Promise<RawKafka> {
      const client = await RawKafka.connect(node)
      clients.push(client)
      return client
    }
  }
}
