import { z } from 'zod'
import { json } from '../../../http/openapi/operation.js'
import type { Described } from '../v2/operations.js'
import { newTopicBody, partitionsBody } from './change-bodies.js'
import { v3ConfigOperations } from './config-operations.js'
import {
  broker_id,
  CLUSTER,
  cluster_id,
  done,
  link,
  listOf,
  ofTopic,
  partition_id,
  read,
  refused,
  resource,
  TOPIC,
  text,
  topic_name
} from './operation-parts.js'

const consumer_group_id = text.describe('The consumer group')
const consumer_id = text.describe('The id of the member')

const cluster = resource('KafkaCluster', {
  controller: link.optional(),
  acls: link,
  brokers: link,
  broker_configs: link,
  consumer_groups: link,
  topics: link,
  partition_reassignments: link
})
const broker = resource('KafkaBroker', {
  broker_id: z.int(),
  host: text,
  port: z.int(),
  rack: text.optional(),
  configs: link,
  partition_replicas: link
})
const topic = resource('KafkaTopic', {
  topic_name: text,
  is_internal: z.boolean(),
  replication_factor: z.int(),
  partitions_count: z.int(),
  partitions: link,
  configs: link,
  partition_reassignments: link,
  authorized_operations: z.array(text).optional().describe('What may be done with the topic, if it was asked for')
})
const withOperations = z.enum(['true', 'false']).optional().describe('`true`: `authorized_operations` are included')
const partition = resource('KafkaPartition', {
  topic_name: text,
  partition_id: z.int(),
  leader: link.optional(),
  replicas: link,
  reassignment: link
})
const replica = resource('KafkaReplica', {
  topic_name: text,
  partition_id: z.int(),
  broker_id: z.int(),
  is_leader: z.boolean(),
  is_in_sync: z.boolean(),
  broker: link
})
const offset = resource('KafkaPartitionWithOffsets', {
  topic_name: text,
  partition_id: z.int(),
  earliest_offset: z.int(),
  latest_offset: z.int()
})
const group = resource('KafkaConsumerGroup', {
  consumer_group_id: text,
  is_simple: z.boolean(),
  partition_assignor: text,
  state: text,
  type: text,
  is_mixed_consumer_group: z.boolean(),
  coordinator: link.optional(),
  consumers: link,
  lag_summary: link
})
const consumer = resource('KafkaConsumer', {
  consumer_group_id: text,
  consumer_id: text,
  instance_id: text.nullable(),
  client_id: text,
  assignments: link
})
const assignment = resource('KafkaConsumerAssignment', {
  consumer_group_id: text,
  consumer_id: text,
  topic_name: text,
  partition_id: z.int(),
  partition: link,
  lag: link
})
const lag = resource('KafkaConsumerLag', {
  consumer_group_id: text,
  topic_name: text,
  partition_id: z.int(),
  current_offset: z.int(),
  log_end_offset: z.int(),
  lag: z.int(),
  consumer_id: text,
  instance_id: text.nullable(),
  client_id: text
})
const summary = resource('KafkaConsumerGroupLagSummary', {
  consumer_group_id: text,
  max_lag_consumer_id: text,
  max_lag_instance_id: text.nullable(),
  max_lag_client_id: text,
  max_lag_topic_name: text,
  max_lag_partition_id: z.int(),
  max_lag: z.int(),
  total_lag: z.int(),
  max_lag_consumer: link.optional(),
  max_lag_partition: link
})

const PARTITION = `${TOPIC}/partitions/{partition_id}`
const GROUP = `${CLUSTER}/consumer-groups/{consumer_group_id}`
const CONSUMER = `${GROUP}/consumers/{consumer_id}`
const ofPartition = { ...ofTopic, partition_id }
const ofGroup = { cluster_id, consumer_group_id }

/** The operations of version 3 on clusters, topics and consumer groups, by id. */
export const v3AdminOperations = {
  ...v3ConfigOperations,
  listClusters: read('/v3/clusters', undefined, 'The clusters', listOf(cluster)),
  getCluster: read(CLUSTER, { cluster_id }, 'A cluster', cluster),
  listBrokersV3: read(`${CLUSTER}/brokers`, { cluster_id }, 'The brokers', listOf(broker)),
  listBrokerReplicas: read(
    `${CLUSTER}/brokers/{broker_id}/partition-replicas`,
    { cluster_id, broker_id },
    'The replicas that a broker has',
    listOf(replica)
  ),
  getBroker: read(`${CLUSTER}/brokers/{broker_id}`, { cluster_id, broker_id }, 'A broker', broker),
  listTopicsV3: {
    ...read(`${CLUSTER}/topics`, { cluster_id }, 'The topics', listOf(topic)),
    query: { include_authorized_operations: withOperations }
  },
  createTopic: {
    method: 'post',
    path: `${CLUSTER}/topics`,
    params: { cluster_id },
    summary: 'Creates a topic',
    body: { description: 'The topic', content: json(newTopicBody) },
    answers: {
      ...refused,
      200: { description: 'With `validate_only`: Kafka would create it', content: json(topic) },
      201: { description: 'The topic', content: json(topic) }
    }
  },
  getTopicV3: {
    ...read(TOPIC, ofTopic, 'A topic', topic),
    query: { include_authorized_operations: withOperations }
  },
  growTopic: {
    method: 'patch',
    path: TOPIC,
    params: ofTopic,
    summary: 'Adds partitions to a topic',
    body: { description: 'How many it then has', content: json(partitionsBody) },
    answers: { ...refused, 200: { description: 'The topic', content: json(topic) } }
  },
  deleteTopic: {
    method: 'delete',
    path: TOPIC,
    params: ofTopic,
    summary: 'Deletes a topic with its records',
    answers: { ...refused, ...done }
  },
  listPartitionsV3: read(`${TOPIC}/partitions`, ofTopic, 'The partitions of a topic', listOf(partition)),
  getPartitionV3: read(PARTITION, ofPartition, 'A partition', partition),
  getPartitionOffset: {
    ...read(`${PARTITION}/offset`, ofPartition, 'Where the log of a partition begins and ends', offset),
    query: { offset_type: z.literal('earliest_and_latest').optional().describe('Another value is answered 400') }
  },
  listReplicas: read(`${PARTITION}/replicas`, ofPartition, 'The replicas of a partition', listOf(replica)),
  getReplica: read(`${PARTITION}/replicas/{broker_id}`, { ...ofPartition, broker_id }, 'A replica', replica),
  listGroups: read(`${CLUSTER}/consumer-groups`, { cluster_id }, 'The consumer groups', listOf(group)),
  getGroup: read(GROUP, ofGroup, 'A consumer group', group),
  listConsumers: read(`${GROUP}/consumers`, ofGroup, 'The members of a group', listOf(consumer)),
  getConsumer: read(CONSUMER, { ...ofGroup, consumer_id }, 'A member of a group', consumer),
  listAssignments: read(
    `${CONSUMER}/assignments`,
    { ...ofGroup, consumer_id },
    'The partitions that a member reads',
    listOf(assignment)
  ),
  getAssignment: read(
    `${CONSUMER}/assignments/{topic_name}/partitions/{partition_id}`,
    { ...ofGroup, consumer_id, topic_name, partition_id },
    'A partition that a member reads',
    assignment
  ),
  listLags: read(`${GROUP}/lags`, ofGroup, 'How far a group is behind, the largest lag first', listOf(lag)),
  getLag: read(
    `${GROUP}/lags/{topic_name}/partitions/{partition_id}`,
    { ...ofGroup, topic_name, partition_id },
    'How far a group is behind in a partition',
    lag
  ),
  getLagSummary: read(`${GROUP}/lag-summary`, ofGroup, 'How far a group is behind in all', summary)
} as const satisfies Readonly<Record<string, Described>>
