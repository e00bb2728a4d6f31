/**
 * `castellan-client`: for programs that read and write records. `castellan/client` has the schemas, too.
 *
 *   const castellan = await openCastellan({ brokers: 'kafka-1:9092' })
 *   const result = await askRouter(castellan.router.ref, {
 *     type: 'fetchOffset', topicPartition: { topic: 'orders', partition: 0 }, offsetType: 'latest'
 *   })
 *
 * Importing it loads no HTTP, no configuration of the gateway and no embedded broker. `openCastellan` loads the rest.
 */

import type { Castellan, OpenCastellanOptions } from './client/castellan.js'
import type { JoinPeers } from './client/open-castellan.js'

export type {
  Castellan,
  CloseOptions,
  OpenCastellanOptions,
  ReadJson,
  ReadSchemas
} from './client/castellan.js'

/**
 * Starts a Router and delivery for a cluster. They connect in the background and retry without end, so the brokers may
 * start later.
 *
 * @throws ConfigError that names every wrong option, or the package that the compression needs and that is not
 * installed
 * @throws LogUnusableError when the durable log has records but its directory cannot be used
 */
export const openCastellan = async (options: OpenCastellanOptions): Promise<Castellan> =>
  (await import('./client/open-castellan.js')).openCastellan(options, joinPeers)

const joinPeers: JoinPeers = async (...of) => (await import('./deployment/verbs/program-peers.js')).joinPeers(...of)

export type { PeersOptions } from './client/peers-options.js'
export type {
  Admin,
  AdminChangeOptions,
  AdminOptions,
  ConsumedPartition,
  NewTopic,
  Resource
} from './client/program-admin.js'
/** Writing records. */
export type {
  Delivered,
  NewRecord,
  Produced,
  ProduceOptions,
  RecordBytes
} from './client/program-produce.js'
/** Queues. */
export type {
  Queue,
  QueueAcquireOptions,
  QueueMessage,
  QueueOptions,
  QueueRunOptions,
  Settled
} from './client/program-queue.js'
/** Transactions. */
export type { CommittedOffset, Transaction, TransactionOptions } from './client/program-transactions.js'
/** Consumer groups. */
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
export type { Batches, BatchOptions, ConsumeOptions, Consumer } from './consumer/group/consume-stream.js'
export type { ConsumerGroups } from './consumer/group/consumer-groups.js'
export type { Batch, Message } from './consumer/group/given-messages.js'
export type { Handler, HandlingOrder, RunOptions } from './consumer/group/handler-run.js'
export type { ConsumerSettings, ConsumerSettingsOverrides } from './consumer/group/settings.js'
/** Reading a topic as a stream. */
export type { ReadStart } from './consumer/stream/partition-reader.js'
export type { Reader, ReadOptions, ReadRecord } from './consumer/stream/record-stream.js'
/** For programs with their own actors. */
export {
  type ActorLogic,
  type ActorRef,
  ActorSystem,
  ask,
  type OwnerLogic,
  type Requester,
  type Step
} from './core/actor/actor.js'
/** Basic types and errors. */
export * from './core/errors.js'
/** Metrics. */
export { defaultLogger, type MetricsLogger, type MetricTags } from './core/metrics/metrics-logger.js'
export { createPrometheusMetrics, type PrometheusMetrics, PrometheusMetricsLogger } from './core/metrics/prometheus.js'
export * from './core/model.js'
export { ProduceError } from './core/produce-error.js'
export { TransactionError, type TransactionErrorCode } from './core/transaction-error.js'
/** Connections. */
export type {
  BrokerClient,
  BrokerClientFactory,
  ConnectionSettings,
  GivenSaslOptions,
  PartitionMetadata,
  SaslOptions,
  TopicMetadata
} from './kafka/broker-client.js'
/** Memory that several clusters of one process may share: `openCastellan({ decompressedMemory })`. */
export { DecompressedMemory } from './kafka/decompressed-memory.js'
export type { WalSettings } from './producer/log/settings.js'
export type { Delivery, DeliveryStats } from './producer/memory/delivery.js'
export type { PartitionerFunction } from './producer/memory/partitioners.js'
export type { DeliverySettings } from './producer/memory/settings.js'
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
export type { OpenTransactionView } from './router/processors/open-transactions.js'
export { askRouter, type Unasked } from './router/routing/ask-router.js'
export {
  type FromRouter,
  type Question,
  RequestManager,
  type RequestManagerOptions,
  type ResultHandlers
} from './router/routing/request-manager.js'
export type { RouterHandle, RouterStats } from './router/routing/router.js'
export type { RouterSettings, RouterSettingsOverrides } from './router/routing/settings.js'
export type { RecordJson } from './schemas/record-json.js'
/** Administration. */
export { AdminError, type AdminErrorCode } from './verbs/admin-error.js'
export type {
  AclEntry,
  AclFilter,
  ClusterDescription,
  ConfigEntry,
  Durability,
  GroupDescription,
  InstanceVerbs,
  LogEnds,
  PartitionerName
} from './verbs/verbs.js'
