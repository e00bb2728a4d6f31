import type { HttpApi } from '../../http/api/api.js'
import { queuesOperations } from './routes.js'
import { type QueuesApiSettings, queuesApiSettings } from './settings.js'

/** Topics as queues: share groups of Kafka for clients of HTTP. docs/queues.md says what is promised. */
export const queues: HttpApi<QueuesApiSettings, 'queues'> = {
  name: 'queues',
  about: 'topics as queues, for workers in any language: acquire, accept, release, reject, renew',
  source: 'no system: share groups of Apache Kafka (KIP-932)',
  prefix: '/queues',
  clusters: 'all',
  settings: queuesApiSettings,
  tryIt: url => [
    `curl -i ${url}/orders/workers/acquire -H 'accept: application/octet-stream' -d '{"start":"earliest","waitMs":1000}'`
  ],
  operations: () => queuesOperations,
  plugin: async context => (await import('./plugin.js')).queuesPlugin(context)
}
