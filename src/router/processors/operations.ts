import type { RoutedKind } from '../messages/operations.js'
import type { OperationDescriptor } from '../requests/operation.js'
import {
  alterConfigs,
  createPartitions,
  createTopic,
  deleteGroup,
  deleteRecords,
  deleteTopic,
  describeAcls,
  describeCluster,
  describeConfigs,
  fetchGroupOffsets,
  fetchLogEnd,
  fetchStableEnd,
  fetchTopicOperations
} from './administration.js'
import { commitConsumerOffset } from './commit-consumer-offset.js'
import { fetchConsumerOffset } from './fetch-consumer-offset.js'
import { fetchData } from './fetch-data.js'
import { fetchEpochEnd, fetchOffset, fetchOrigins } from './fetch-offset.js'
import { fetchTopicMetadata } from './fetch-topic-metadata.js'
import {
  describeConsumerGroup,
  describeGroup,
  findCoordinator,
  heartbeat,
  joinGroup,
  leaveGroup,
  listGroups,
  syncGroup
} from './groups.js'
import { initProducerId, produceBatch } from './produce-admission.js'
import {
  alterShareOffsets,
  deleteShareOffsets,
  describeShareGroup,
  fetchShareOffsets,
  shareAcknowledge,
  shareFetch,
  shareHeartbeat
} from './share.js'
import { addOffsetsToTxn, addPartitionsToTxn, endTxn, initTransactionalId, txnOffsetCommit } from './transactions.js'

/**
 * All operations that are sent to brokers. Dispatchers, routing, validation and metrics are derived from this list. The
 * operations of one role take turns in the order of this list.
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
  describeConsumerGroup,
  listGroups,
  describeCluster,
  describeConfigs,
  alterConfigs,
  describeAcls,
  createTopic,
  deleteTopic,
  createPartitions,
  deleteRecords,
  deleteGroup,
  fetchTopicOperations,
  fetchStableEnd,
  fetchLogEnd,
  fetchGroupOffsets,
  initTransactionalId,
  addPartitionsToTxn,
  addOffsetsToTxn,
  endTxn,
  txnOffsetCommit,
  shareHeartbeat,
  shareFetch,
  shareAcknowledge,
  describeShareGroup,
  fetchShareOffsets,
  alterShareOffsets,
  deleteShareOffsets,
  produceBatch
} as const satisfies { readonly [Kind in RoutedKind]: OperationDescriptor<Kind> }

type Descriptor = (typeof operations)[RoutedKind]

/** The operations that share the connections of one role. */
export const operationsOfRole = <Role extends Descriptor['role']>(
  role: Role
): readonly Extract<Descriptor, { role: Role }>[] =>
  Object.values(operations).filter((one): one is Extract<Descriptor, { role: Role }> => one.role === role)

export const descriptorOf = <Kind extends RoutedKind>(kind: Kind): OperationDescriptor<Kind> =>
  operations[kind] as never
