import type { RoutedKind } from '../messages/operations.js'
import type { OperationDescriptor } from '../requests/operation.js'
import { commitConsumerOffset } from './commit-consumer-offset.js'
import { describeBrokerConfigs } from './describe-broker-configs.js'
import { describeGroup } from './describe-group.js'
import { describeTopicConfigs } from './describe-topic-configs.js'
import { fetchConsumerOffset } from './fetch-consumer-offset.js'
import { fetchData } from './fetch-data.js'
import { fetchEpochEnd } from './fetch-epoch-end.js'
import { fetchOffset } from './fetch-offset.js'
import { fetchOrigins } from './fetch-origins.js'
import { fetchTopicMetadata } from './fetch-topic-metadata.js'
import { findCoordinator } from './find-coordinator.js'
import { heartbeat } from './heartbeat.js'
import { initProducerId } from './init-producer-id.js'
import { joinGroup } from './join-group.js'
import { leaveGroup } from './leave-group.js'
import { listGroups } from './list-groups.js'
import { produceBatch } from './produce-batch.js'
import { syncGroup } from './sync-group.js'

/**
 * Every operation that brokers are asked. Dispatchers, routing, validation and metrics follow from this list; those of
 * one role take turns in its order.
 */
export const operations = {
  fetchData,
  fetchOffset,
  fetchEpochEnd,
  fetchOrigins,
  fetchConsumerOffset,
  commitConsumerOffset,
  fetchTopicMetadata,
  findCoordinator,
  initProducerId,
  joinGroup,
  syncGroup,
  heartbeat,
  leaveGroup,
  describeGroup,
  listGroups,
  describeTopicConfigs,
  describeBrokerConfigs,
  produceBatch
} as const satisfies { readonly [Kind in RoutedKind]: OperationDescriptor<Kind> }

type Descriptor = (typeof operations)[RoutedKind]

/** The operations that share the connections of one role. */
export const operationsOf = <Role extends Descriptor['role']>(
  role: Role
): readonly Extract<Descriptor, { role: Role }>[] =>
  Object.values(operations).filter((one): one is Extract<Descriptor, { role: Role }> => one.role === role)

/** The descriptor of an operation, typed for its requests and results. */
export const descriptorOf = <Kind extends RoutedKind>(kind: Kind): OperationDescriptor<Kind> =>
  operations[kind] as never
