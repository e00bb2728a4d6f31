import type { ActorRef } from '../actor/actor.js'
import type { ClusterSettings } from '../config/cluster-settings.js'
import type { Config } from '../config/config.js'
import { type Delivery, startDelivery } from '../delivery/delivery.js'
import type { Gateway } from '../gateway/gateway.js'
import { KafkaGateway } from '../gateway/kafka-gateway.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { Logger } from '../model.js'
import type { Produce, RouterMessage } from '../operations.js'
import type { BrokerClientFactory } from '../wire/broker-client.js'
import { toBrokerAddress } from './broker-address.js'
import { connectionsOf } from './connections.js'

/** What everything that works with Kafka is given. */
export interface KafkaDeps {
  readonly config: Config
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly onFatal: (error: Error) => void
}

/** One cluster: its Router, and what writes through it. */
export interface KafkaCluster {
  readonly name: string
  readonly brokers: readonly string[]
  readonly connect: BrokerClientFactory
  readonly router: RunningRouter
  readonly delivery: Delivery
  readonly gateway: Gateway
}

export interface RunningRouter {
  readonly ref: ActorRef<RouterMessage>
  readonly isReady: boolean
  stop(): Promise<void>
}

/**
 * Starts a Router for a cluster. It connects by itself and tries for ever.
 *
 * @param produce what becomes of Produce requests
 */
export function startClusterRouter(
  name: string,
  cluster: ClusterSettings,
  brokers: readonly string[],
  { log }: KafkaDeps,
  produce: (request: Produce) => void
): { router: RunningRouter; connect: BrokerClientFactory } {
  const connect = connectionsOf(name, cluster, log)
  const bootstrap = brokers.map(toBrokerAddress)
  void [bootstrap, produce]
  throw new Error('the Router is not there yet')
}

/** Starts a cluster's Router and delivery. */
export function startCluster(name: string, brokers: readonly string[], deps: KafkaDeps): KafkaCluster {
  const { config, log, metrics } = deps
  let delivery: Delivery | undefined
  const { router, connect } = startClusterRouter(name, config.clusters[name]!, brokers, deps, request =>
    delivery?.produce(request)
  )
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
  return { name, brokers, connect, router, delivery, gateway }
}
