import type { HttpApi } from '../../http/api/api.js'
import { strimziOperations } from './operations.js'
import { type StrimziSettings, strimziSettings } from './settings.js'

/** The API of Strimzi's Kafka Bridge: records, topics and consumers. */
export const strimzi: HttpApi<StrimziSettings, 'strimzi'> = {
  name: 'strimzi',
  about: "the HTTP API of Strimzi's Kafka Bridge, for clients of Kafka on Kubernetes",
  source: 'Strimzi Kafka Bridge 1.1 (strimzi/strimzi-kafka-bridge 363992b)',
  prefix: '/strimzi',
  settings: strimziSettings,
  tryIt: url => [
    `curl -i ${url}/topics/orders -H 'content-type: application/vnd.kafka.json.v2+json' -d '{"records":[{"key":"k1","value":{"total":7}}]}'`
  ],
  operations: () => strimziOperations,
  plugin: async context => (await import('./plugin.js')).strimziPlugin(context)
}
