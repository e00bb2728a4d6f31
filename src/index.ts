/**
 * Castellan as a library.
 *
 *   const castellan = await openCastellan({ brokers: 'kafka-1:9092' })
 *   const result = await askRouter(castellan.router.ref, {
 *     type: 'fetchOffset', topicPartition: { topic: 'orders', partition: 0 }, offsetType: 'latest'
 *   })
 *
 * The changelog covers everything that is exported here. Files below are internal and may change without notice.
 */

/** Hooks of kafboy's API, typed: the default export of the module that `apis.kafboy.callbackEditJson` names. */
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
export type {
  AckResult,
  AcquiredMessage,
  ConsumedMessage,
  ConsumedMessages,
  ConsumeManyResult,
  ConsumeResult,
  MessageId,
  MessageLimits,
  NoMessage
} from './consumer/group/consume-result.js'
/** Consumer groups. */
export type { ConsumeOptions } from './consumer/group/consume-stream.js'
export { ConsumerGroups, type ConsumerGroupsDeps } from './consumer/group/consumer-groups.js'
export {
  type ConsumerSettings,
  type ConsumerSettingsOverrides,
  defaultConsumerSettings
} from './consumer/group/settings.js'
/** Reading a topic as a stream. */
export type { ReadStart } from './consumer/stream/partition-reader.js'
export type { ReadOptions, ReadRecord } from './consumer/stream/record-stream.js'
/** Actors of your own. */
export { type ActorLogic, type ActorRef, ActorSystem, type OwnerLogic, type Step } from './core/actor/actor.js'
export { ask, type Requester } from './core/actor/requester.js'
/** Nouns and errors. */
export * from './core/errors.js'
/** Counting. */
export { defaultLogger, type MetricsLogger, type MetricTags } from './core/metrics/metrics-logger.js'
export { createPrometheusMetrics, type PrometheusMetrics } from './core/metrics/prometheus.js'
export { PrometheusMetricsLogger } from './core/metrics/prometheus-metrics-logger.js'
export * from './core/model.js'
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
} from './embedded-broker/embedded-cluster.js'
export { startEmbeddedCluster } from './embedded-broker/start-embedded-cluster.js'
export type {
  CommitOutcome,
  Durability,
  Gateway,
  GroupOffset,
  PartitionerName,
  PendingProduce,
  ProduceOptions
} from './gateway/gateway.js'
export { KafkaGateway, type KafkaGatewayDeps } from './gateway/kafka-gateway.js'
/** Connections. */
export type { BrokerClient, BrokerClientFactory, PartitionMetadata, TopicMetadata } from './kafka/broker-client.js'
export {
  type ConnectionSettings,
  createBrokerClientFactory,
  type SaslOptions
} from './kafka/create-broker-client-factory.js'
/** Memory that several clusters of one process may share: `openCastellan({ decompressedMemory })`. */
export { DecompressedMemory } from './kafka/decompressed-memory.js'
export type { WalSettings } from './producer/log/settings.js'
/** Writing. */
export type { Delivery, DeliveryDeps, DeliveryStats } from './producer/memory/delivery.js'
export { type DeliverySettings, defaultDeliverySettings } from './producer/memory/settings.js'
export { startDelivery } from './producer/memory/start-delivery.js'
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
  OffsetType,
  Operations,
  Produce,
  ProduceResult,
  RequestOf,
  ResultOf,
  RouterMessage,
  RouterRequest,
  RouterResult
} from './router/messages/operations.js'
export { askRouter, type Unasked } from './router/routing/ask-router.js'
export {
  type FromRouter,
  type Question,
  RequestManager,
  type RequestManagerOptions,
  type ResultHandlers
} from './router/routing/request-manager.js'
export {
  Router,
  type RouterHandle,
  type RouterStats,
  type StartRouterOptions,
  startRouter
} from './router/routing/router.js'
export { defaultRouterSettings, type RouterSettings, type RouterSettingsOverrides } from './router/routing/settings.js'
export type { App, AppDeps, StopResult } from './server/app/app.js'
export { type Castellan, type OpenCastellanOptions, openCastellan } from './server/app/open-castellan.js'
/** A gateway with its HTTP ports, or one cluster without HTTP. */
export { startApp } from './server/app/start-app.js'
export { type Config, type ConfigSources, type FlagSetting, loadConfig } from './server/config/config.js'
