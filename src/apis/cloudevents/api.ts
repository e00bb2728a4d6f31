import type { HttpApi } from '../../http/api/api.js'
import { cloudeventsOperations } from './routes.js'
import { type CloudeventsSettings, cloudeventsSettings } from './settings.js'

/**
 * CloudEvents over HTTP, into Kafka's binding and out again.
 *
 * What the specifications leave open is decided in docs/compatibility/cloudevents.md.
 */
export const cloudevents: HttpApi<CloudeventsSettings, 'cloudevents'> = {
  name: 'cloudevents',
  about: 'CloudEvents over HTTP, for producers and consumers of events in any language',
  source:
    'CloudEvents 1.0.2 (cloudevents/spec v1.0.2): HTTP protocol binding, Kafka protocol binding, JSON event format',
  prefix: '/events',
  settings: cloudeventsSettings,
  tryIt: url => [
    `curl -i ${url}/orders -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /shop' -H 'ce-type: com.example.order' -H 'content-type: application/json' -d '{"total":7}'`
  ],
  readIt: url => [`curl -i '${url}/orders?from=earliest'`],
  operations: () => cloudeventsOperations,
  plugin: async context => (await import('./plugin.js')).cloudeventsPlugin(context)
}
