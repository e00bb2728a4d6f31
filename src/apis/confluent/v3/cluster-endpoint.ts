import type { BrokerNode } from '../../../core/model.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import type { Params } from '../endpoint-parts.js'
import type { Links, Resource } from './resources.js'
import { type Cluster, requireBroker, type V3LookUps } from './v3-look-ups.js'

/** Clusters and brokers of version 3. */
export class ClusterEndpoint {
  readonly #lookUps: V3LookUps

  constructor(lookUps: V3LookUps) {
    this.#lookUps = lookUps
  }

  clusters(exchange: Exchange): void {
    this.#lookUps.answer(exchange, {}, {}, async cluster => cluster.links.clusters([await clusterJson(cluster)]))
  }

  cluster(exchange: Exchange, params: Params): void {
    this.#lookUps.answer(exchange, params, {}, clusterJson)
  }

  brokers(exchange: Exchange, params: Params): void {
    this.#lookUps.answer(exchange, params, {}, async ({ links, describe }) => {
      const { brokers } = await describe()
      return links.list(
        'KafkaBroker',
        '/brokers',
        brokers.map(broker => brokerJson(links, broker))
      )
    })
  }

  broker(exchange: Exchange, params: Params): void {
    this.#lookUps.answer(exchange, params, {}, async ({ links, describe }) =>
      brokerJson(links, requireBroker(await describe(), params.broker_id))
    )
  }
}

async function clusterJson({ links, describe }: Cluster): Promise<Resource> {
  const { controllerId } = await describe()
  return links.resource('KafkaCluster', '', '', {
    ...(controllerId >= 0 && { controller: links.related(`/brokers/${controllerId}`) }),
    acls: links.related('/acls'),
    brokers: links.related('/brokers'),
    broker_configs: links.related('/broker-configs'),
    consumer_groups: links.related('/consumer-groups'),
    topics: links.related('/topics'),
    partition_reassignments: links.related('/topics/-/partitions/-/reassignment')
  })
}

const brokerJson = (links: Links, { nodeId, host, port, rack }: BrokerNode): Resource => {
  const path = `/brokers/${nodeId}`
  return links.resource('KafkaBroker', path, `/broker=${nodeId}`, {
    broker_id: nodeId,
    host,
    port,
    ...(rack !== null && { rack }),
    configs: links.related(`${path}/configs`),
    partition_replicas: links.related(`${path}/partition-replicas`)
  })
}
