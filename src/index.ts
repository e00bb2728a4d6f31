/**
 * Castellan as a library.
 *
 *   const castellan = openCastellan({ brokers: 'kafka-1:9092' })
 *   const result = await askRouter(castellan.router.ref, {
 *     type: 'fetchOffset', topicPartition: { topic: 'orders', partition: 0 }, offsetType: 'latest'
 *   })
 *
 * Everything here is covered by the changelog; what stands only in a file below is not.
 */

/** Actors of your own. */
export { type ActorLogic, type ActorRef, ActorSystem, type OwnerLogic, type Step } from './actor/actor.js'
export { ask, type Requester } from './actor/requester.js'
export { type Castellan, type OpenCastellanOptions, openCastellan } from './app/open-castellan.js'
/** Putting it together: one cluster, or the whole gateway with its HTTP ports. */
export { type App, type AppDeps, type StopResult, startApp } from './app.js'
/** The embedded broker, for tests and trials. */
export type {
  ApiName,
  EmbeddedCluster,
  EmbeddedClusterOptions,
  Fault,
  FaultAction,
  FaultMatch,
  Faults,
  SaslOptions as EmbeddedSaslOptions,
  TopicOptions
} from './broker/embedded-cluster.js'
export { startEmbeddedCluster } from './broker/start-embedded-cluster.js'
export { type Config, type ConfigSources, type FlagSetting, loadConfig } from './config/config.js'
/** Writing. */
export type { Delivery, DeliveryDeps, DeliveryStats } from './delivery/delivery.js'
export { type DeliverySettings, defaultDeliverySettings } from './delivery/settings.js'
export { startDelivery } from './delivery/start-delivery.js'
/** Nouns and errors. */
export * from './errors.js'
export type { Gateway, PartitionerName, ProduceOptions, ProduceTicket } from './gateway/gateway.js'
export { KafkaGateway, type KafkaGatewayDeps } from './gateway/kafka-gateway.js'
/** Counting. */
export { defaultLogger, type MetricsLogger, type MetricTags } from './metrics/metrics-logger.js'
export { createPrometheusMetrics, type PrometheusMetrics } from './metrics/prometheus.js'
export { PrometheusMetricsLogger } from './metrics/prometheus-metrics-logger.js'
export * from './model.js'
/** The Router, its requests and their results. */
export type {
  CommitConsumerOffset,
  CommitConsumerOffsetResult,
  FetchConsumerOffset,
  FetchConsumerOffsetResult,
  FetchData,
  FetchDataResult,
  FetchOffset,
  FetchOffsetResult,
  FetchTopicMetadata,
  FetchTopicMetadataResult,
  OffsetAndMetadata,
  OffsetType,
  Operations,
  Persisted,
  Produce,
  ProduceResult,
  RecordFailure,
  RecordOutcome,
  RequestOf,
  ResultOf,
  RouterMessage,
  RouterRequest,
  RouterResult
} from './operations.js'
export { askRouter, type Unasked } from './router/ask-router.js'
export {
  type FromRouter,
  type Question,
  RequestManager,
  type RequestManagerOptions,
  type ResultHandlers
} from './router/request-manager.js'
export { Router, type RouterHandle, type RouterStats, type StartRouterOptions, startRouter } from './router/router.js'
export { defaultRouterSettings, type RouterSettings, type RouterSettingsOverrides } from './router/settings.js'
/** Connections. */
export type { BrokerClient, BrokerClientFactory, PartitionMetadata, TopicMetadata } from './wire/broker-client.js'
export {
  type ConnectionSettings,
  createBrokerClientFactory,
  type SaslOptions
} from './wire/create-broker-client-factory.js'
/** To share among several clusters of one process: `openCastellan({ decompressedMemory })`. */
export { DecompressedMemory } from './wire/decompressed-memory.js'
