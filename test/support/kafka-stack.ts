import { ActorSystem } from '../../src/core/actor/actor.js'
import { defaultLogger } from '../../src/core/metrics/metrics-logger.js'
import { type BrokerAddress, silentLogger } from '../../src/core/model.js'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { Gateway } from '../../src/gateway/gateway.js'
import { KafkaGateway } from '../../src/gateway/kafka-gateway.js'
import { createBrokerClientFactory } from '../../src/kafka/kafkajs-broker-client.js'
import type { Delivery } from '../../src/producer/memory/delivery.js'
import { startDelivery } from '../../src/producer/memory/memory-delivery.js'
import { type DeliverySettings, topicSettingsOf } from '../../src/producer/memory/settings.js'
import { type RouterHandle, startRouter } from '../../src/router/routing/router.js'

/** Gateway, delivery, Router and wire over brokers, put together as the app does. */
export interface Stack {
  readonly gateway: Gateway
  readonly delivery: Delivery
  readonly router: RouterHandle
  close(): Promise<void>
}

/** @param now the wall clock */
export function startStack(
  bootstrap: readonly BrokerAddress[],
  settings: Partial<DeliverySettings> = {},
  now = Date.now
): Stack {
  const system = new ActorSystem()
  const shared = { clock: () => performance.now(), random: Math.random, log: silentLogger, metrics: defaultLogger }
  let delivery: Delivery | undefined
  const router = startRouter({
    ...shared,
    system,
    bootstrap,
    settings: topicSettingsOf(settings),
    createClient: createBrokerClientFactory({
      clientId: 'castellan-test',
      requestTimeoutMs: 10_000,
      connectTimeoutMs: 5_000,
      log: silentLogger
    }),
    delivery: { produce: request => delivery?.produce(request) },
    onClusterChanged: change => delivery?.clusterChanged(change),
    onFatal: error => {
      throw error
    }
  })
  delivery = startDelivery({ ...shared, router: router.ref, settings, now })
  const gateway = new KafkaGateway({ system, delivery, router: router.ref, isReady: () => router.isReady })
  const close = async () => {
    await delivery.close(0)
    await router.stop()
    system.stop()
  }
  return { gateway, delivery, router, close }
}

export interface EmbeddedStack extends Stack {
  readonly cluster: EmbeddedCluster
}

/** The same with an embedded cluster of its own. */
export async function startEmbeddedStack(
  options: EmbeddedClusterOptions = {},
  settings: Partial<DeliverySettings> = {}
): Promise<EmbeddedStack> {
  const cluster = await startEmbeddedCluster(options)
  const stack = startStack(cluster.nodes, settings)
  const close = async () => {
    await stack.close()
    await cluster.close()
  }
  return { ...stack, cluster, close }
}
