import type { ActorSystem } from '../actor/actor.js'
import type { ClusterSettings } from '../config/cluster-settings.js'
import type { Config } from '../config/config.js'
import { type Delivery, startDelivery } from '../delivery/delivery.js'
import type { Gateway } from '../gateway/gateway.js'
import { KafkaGateway } from '../gateway/kafka-gateway.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { Logger } from '../model.js'
import type { Produce } from '../operations.js'
import { type RouterHandle, startRouter } from '../router/router.js'
import type { BrokerClientFactory } from '../wire/broker-client.js'
import { toBrokerAddress } from './broker-address.js'
import { connectionsOf } from './connections.js'

/** What everything that works with Kafka is given. */
export interface KafkaDeps {
  readonly system: ActorSystem
  readonly config: Config
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly onFatal: (error: Error) => void
}

/** One cluster: its Router, and what writes through it. */
export interface KafkaCluster {
  readonly name: string
  readonly connect: BrokerClientFactory
  readonly router: RouterHandle
  readonly delivery: Delivery
  readonly gateway: Gateway
}

/**
 * Starts a Router for a cluster. It connects by itself and tries for ever.
 *
 * @param delivery takes Produce requests; without it they are refused
 * @throws ConfigError when a certificate cannot be read
 */
export function startClusterRouter(
  brokers: readonly string[],
  createClient: BrokerClientFactory,
  deps: KafkaDeps,
  delivery?: { produce(request: Produce): void }
): RouterHandle {
  const { config, ...rest } = deps
  const { router, cache } = config
  return startRouter({
    ...rest,
    createClient,
    bootstrap: brokers.map(toBrokerAddress),
    settings: { ...router, cacheMaxBytes: cache.maxBytes, allowAutoTopicCreation: config.delivery.createTopics },
    clock: () => performance.now(),
    random: Math.random,
    ...(delivery && { delivery })
  })
}

/** Starts a cluster's Router and delivery. */
export function startCluster(
  name: string,
  settings: ClusterSettings,
  brokers: readonly string[],
  deps: KafkaDeps
): KafkaCluster {
  const { config, log, metrics } = deps
  const connect = connectionsOf(name, settings, log)
  // The Router passes Produce on to delivery, and delivery writes through the Router: one has to be told later.
  let delivery: Delivery | undefined
  const router = startClusterRouter(brokers, connect, deps, { produce: request => delivery!.produce(request) })
  delivery = startDelivery({
    router: router.ref,
    settings: { ...config.delivery, metadataMaxAgeMs: config.router.metadataMaxAgeMs },
    clock: () => performance.now(),
    now: Date.now,
    random: Math.random,
    log,
    metrics
  })
  const gateway = new KafkaGateway({ delivery, isReady: () => router.isReady })
  return { name, connect, router, delivery, gateway }
}
