import { z } from 'zod'
import type { BrokerNode } from '../../../core/model.js'
import type { ClusterDescription } from '../../../gateway/admin.js'
import { kind, link, linkIfAny, text } from './resources.js'
import { brokerOf, CLUSTER, list, one, type V3Route } from './routes.js'

const cluster = kind<ClusterDescription>('KafkaCluster', () => [], {
  controller: linkIfAny(({ controllerId }) => (controllerId >= 0 ? `/brokers/${controllerId}` : undefined)),
  acls: link(() => '/acls'),
  brokers: link(() => '/brokers'),
  broker_configs: link(() => '/broker-configs'),
  consumer_groups: link(() => '/consumer-groups'),
  topics: link(() => '/topics'),
  partition_reassignments: link(() => '/topics/-/partitions/-/reassignment')
})

const broker = kind<BrokerNode>('KafkaBroker', ({ nodeId }) => ['brokers', nodeId], {
  broker_id: [z.int(), ({ nodeId }) => nodeId],
  host: [text, ({ host }) => host],
  port: [z.int(), ({ port }) => port],
  rack: [text.optional(), ({ rack }) => rack ?? undefined],
  configs: link((_, path) => `${path}/configs`),
  partition_replicas: link((_, path) => `${path}/partition-replicas`)
})

/** The routes of version 3 about clusters and brokers, by id. */
export const clusterRoutes = {
  listClusters: list('/v3/clusters', 'The clusters', cluster, async ({ describe }) => [await describe()]),
  getCluster: one(CLUSTER, 'A cluster', cluster, ({ describe }) => describe()),
  listBrokersV3: list(`${CLUSTER}/brokers`, 'The brokers', broker, async ({ describe }) => (await describe()).brokers),
  getBroker: one(`${CLUSTER}/brokers/{broker_id}`, 'A broker', broker, brokerOf)
} as const satisfies Readonly<Record<string, V3Route>>
