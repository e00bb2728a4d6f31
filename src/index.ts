/**
 * The whole of Castellan as a library.
 *
 * Two smaller entries load less: `castellan/client` to read and write, `castellan/testing` for the embedded broker. The
 * changelog covers everything that these entries export. Other files are internal and may change without notice.
 */

import type { startEmbeddedCluster as start } from './embedded-broker/start-embedded-cluster.js'
import type { App, AppDeps } from './server/app/app.js'
import type { Config } from './server/config/config.js'

/**
 * Types for the hooks of kafboy's API. `apis.kafboy.callbackEditJson` names a module whose default export has these
 * hooks.
 */
export {
  defineKafboyHooks,
  type KafboyAnswer,
  type KafboyBatchRecord,
  type KafboyDecision,
  type KafboyEvent,
  type KafboyEventName,
  type KafboyField,
  type KafboyHooks,
  type KafboyHttpRequest,
  type KafboyKeyedRecord,
  type KafboyOutcome,
  type KafboyPick,
  type KafboyProduce,
  type KafboyProducer,
  type KafboyRecord,
  type KafboyRequest
} from './apis/kafboy/hooks/hooks.js'
export * from './client-with-schemas.js'
/** The parts of a client, for programs that connect the parts themselves. */
export { ConsumerGroups, type ConsumerGroupsDeps } from './consumer/group/consumer-groups.js'
export { defaultConsumerSettings } from './consumer/group/settings.js'
export { createBrokerClientFactory } from './kafka/broker-client-factory.js'
export type { DeliveryDeps } from './producer/memory/delivery.js'
export { startDelivery } from './producer/memory/memory-delivery.js'
export { defaultDeliverySettings } from './producer/memory/settings.js'
export { Router, type StartRouterOptions, startRouter } from './router/routing/router.js'
export { defaultRouterSettings } from './router/routing/settings.js'
/** A gateway with its HTTP ports. */
export type { App, AppDeps, StopResult } from './server/app/app.js'
export { type Config, type ConfigSources, type FlagSetting, loadConfig } from './server/config/config.js'
export { KafkaVerbs as KafkaGateway, type KafkaVerbsDeps as KafkaGatewayDeps } from './verbs/kafka-verbs.js'
/** The verbs of a cluster, on which the HTTP APIs are built. */
export type {
  AdminVerbs as AdminGateway,
  GroupVerbs as GroupGateway,
  PendingProduce,
  ProduceOptions as GatewayProduceOptions,
  Verbs as Gateway
} from './verbs/verbs.js'
/** Starts the whole gateway. The HTTP server is loaded by this call, and not by programs that only import this file. */
export const startApp = async (config: Config, deps: AppDeps): Promise<App> =>
  (await import('./server/app/app.js')).startApp(config, deps)

export type * from './testing.js'

/**
 * Starts a Kafka cluster in this process. This call loads the broker's code; `castellan/testing` loads it on import.
 */
export const startEmbeddedCluster: typeof start = async options =>
  (await import('./embedded-broker/start-embedded-cluster.js')).startEmbeddedCluster(options)
