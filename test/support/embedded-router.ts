import { ActorSystem } from '../../src/core/actor/actor.js'
import { silentLogger } from '../../src/core/model.js'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { createBrokerClientFactory } from '../../src/kafka/broker-client-factory.js'
import { noProducer, RecordBatchWriter } from '../../src/kafka/record-batch-writer.js'
import type { BatchAnswer } from '../../src/router/messages/operations.js'
import { type RouterHandle, type StartRouterOptions, startRouter } from '../../src/router/routing/router.js'
import type { RouterSettingsOverrides } from '../../src/router/routing/settings.js'
import { CountingMetrics } from './counting-metrics.js'

export interface EmbeddedRouter {
  readonly cluster: EmbeddedCluster
  readonly router: RouterHandle
  readonly metrics: CountingMetrics
  /** Writes one batch of text values; gives what the Router answered. */
  write(topic: string, partition: number, values: readonly string[]): Promise<BatchAnswer>
  stop(): Promise<void>
}

/** A Router on an embedded cluster, for tests of the whole way. */
export async function startEmbeddedRouter(
  clusterOptions: EmbeddedClusterOptions = {},
  settings: RouterSettingsOverrides = {},
  options: Partial<StartRouterOptions> = {}
): Promise<EmbeddedRouter> {
  const cluster = await startEmbeddedCluster(clusterOptions)
  const system = new ActorSystem()
  const metrics = new CountingMetrics()
  const router = startRouter({
    system,
    createClient: createBrokerClientFactory({
      clientId: 'test',
      requestTimeoutMs: 5_000,
      connectTimeoutMs: 2_000,
      log: silentLogger
    }),
    bootstrap: cluster.nodes.map(({ host, port }) => ({ host, port })),
    settings,
    clock: () => performance.now(),
    random: Math.random,
    log: silentLogger,
    metrics,
    onFatal: error => {
      throw error
    },
    ...options
  })
  return {
    cluster,
    router,
    metrics,
    write: (topic, partition, values) =>
      new Promise(resolve => {
        const batch = { topic, partition, bytes: sealedBatch(values), answer: resolve }
        router.ref.tell({ type: 'produceBatches', batches: [batch] })
      }),
    stop: async () => {
      await router.stop()
      system.stop()
      await cluster.close()
    }
  }
}

/** A whole record batch of text values, without producer id. */
export function sealedBatch(values: readonly string[]): Buffer {
  const writer = new RecordBatchWriter(1024 * 1024)
  for (const value of values) writer.append(null, value, undefined, 1)
  return writer.seal({ ...noProducer, codec: 'none' })
}
