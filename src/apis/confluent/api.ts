import type { HttpApi } from '../../http/api/api.js'
import { confluentOperations } from './operations.js'
import { type ConfluentSettings, confluentSettings } from './settings.js'

/** The API of Confluent's REST Proxy, versions 2 and 3: produce, and look at the cluster. */
export const confluent: HttpApi<ConfluentSettings, 'confluent'> = {
  name: 'confluent',
  about: "Confluent's REST API for Kafka, which scripts and generated clients speak",
  source: 'Confluent REST Proxy 8.5 (confluentinc/kafka-rest 985d0e0)',
  prefix: '/confluent',
  settings: confluentSettings,
  tryIt: url => [
    `curl -i ${url}/topics/orders -H 'content-type: application/vnd.kafka.json.v2+json' -d '{"records":[{"key":"k1","value":{"total":7}}]}'`
  ],
  operations: () => confluentOperations,
  plugin: async context => (await import('./plugin.js')).confluentPlugin(context)
}
