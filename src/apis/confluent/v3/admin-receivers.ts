import type { Receive } from '../endpoint-parts.js'
import type { ConfluentSettings } from '../settings.js'
import type { v3AdminOperations } from './admin-operations.js'
import { ChangeRequests } from './change-requests.js'
import { ChangesEndpoint } from './changes-endpoint.js'
import { ClusterEndpoint } from './cluster-endpoint.js'
import type { v3ConfigOperations } from './config-operations.js'
import { brokerScope, ConfigsEndpoint, clusterScope, topicScope } from './configs-endpoint.js'
import { GroupsEndpoint } from './groups-endpoint.js'
import { TopicsEndpoint } from './topics-endpoint.js'
import type { V3LookUps } from './v3-look-ups.js'

/** The handlers of the operations on clusters, topics and consumer groups. */
export function adminReceivers(
  lookUps: V3LookUps,
  { administration }: ConfluentSettings
): Readonly<Record<keyof typeof v3AdminOperations, Receive>> {
  const clusters = new ClusterEndpoint(lookUps)
  const topics = new TopicsEndpoint(lookUps)
  const groups = new GroupsEndpoint(lookUps)
  const requests = new ChangeRequests(lookUps, administration)
  const changes = new ChangesEndpoint(requests)
  return {
    ...configReceivers(new ConfigsEndpoint(requests)),
    listBrokerReplicas: (exchange, params) => topics.replicasOn(exchange, params),
    listClusters: exchange => clusters.clusters(exchange),
    getCluster: (exchange, params) => clusters.cluster(exchange, params),
    listBrokersV3: (exchange, params) => clusters.brokers(exchange, params),
    getBroker: (exchange, params) => clusters.broker(exchange, params),
    listTopicsV3: (exchange, params) => topics.topics(exchange, params),
    getTopicV3: (exchange, params) => topics.topic(exchange, params),
    listPartitionsV3: (exchange, params) => topics.partitions(exchange, params),
    getPartitionV3: (exchange, params) => topics.partition(exchange, params),
    getPartitionOffset: (exchange, params) => topics.offset(exchange, params),
    listReplicas: (exchange, params) => topics.replicas(exchange, params),
    getReplica: (exchange, params) => topics.replica(exchange, params),
    createTopic: (exchange, params) => changes.create(exchange, params),
    growTopic: (exchange, params) => changes.grow(exchange, params),
    deleteTopic: (exchange, params) => changes.delete(exchange, params),
    listGroups: (exchange, params) => groups.groups(exchange, params),
    getGroup: (exchange, params) => groups.group(exchange, params),
    listConsumers: (exchange, params) => groups.consumers(exchange, params),
    getConsumer: (exchange, params) => groups.consumer(exchange, params),
    listAssignments: (exchange, params) => groups.assignments(exchange, params),
    getAssignment: (exchange, params) => groups.assignment(exchange, params),
    listLags: (exchange, params) => groups.lags(exchange, params),
    getLag: (exchange, params) => groups.lag(exchange, params),
    getLagSummary: (exchange, params) => groups.lagSummary(exchange, params)
  }
}

const configReceivers = (configs: ConfigsEndpoint): Readonly<Record<keyof typeof v3ConfigOperations, Receive>> => ({
  listTopicConfigs: (exchange, params) => configs.list(exchange, params, topicScope),
  getTopicConfig: (exchange, params) => configs.get(exchange, params, topicScope),
  setTopicConfig: (exchange, params) => configs.set(exchange, params, topicScope),
  resetTopicConfig: (exchange, params) => configs.reset(exchange, params, topicScope),
  alterTopicConfigs: (exchange, params) => configs.alter(exchange, params, topicScope),
  listAllTopicConfigs: (exchange, params) => configs.listAllTopics(exchange, params),
  alterAllTopicConfigs: (exchange, params) => configs.alterAllTopics(exchange, params),
  listBrokerConfigs: (exchange, params) => configs.list(exchange, params, brokerScope),
  getBrokerConfig: (exchange, params) => configs.get(exchange, params, brokerScope),
  setBrokerConfig: (exchange, params) => configs.set(exchange, params, brokerScope),
  resetBrokerConfig: (exchange, params) => configs.reset(exchange, params, brokerScope),
  alterBrokerConfigs: (exchange, params) => configs.alter(exchange, params, brokerScope),
  listAllBrokerConfigs: (exchange, params) => configs.listAllBrokers(exchange, params),
  listClusterConfigs: (exchange, params) => configs.list(exchange, params, clusterScope),
  getClusterConfig: (exchange, params) => configs.get(exchange, params, clusterScope),
  setClusterConfig: (exchange, params) => configs.set(exchange, params, clusterScope),
  resetClusterConfig: (exchange, params) => configs.reset(exchange, params, clusterScope),
  alterClusterConfigs: (exchange, params) => configs.alter(exchange, params, clusterScope)
})
