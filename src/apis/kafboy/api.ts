import type { HttpApi } from '../../http/api/api.js'
import { kafboyOperations } from './routes.js'
import { type KafboySettings, kafboySettings } from './settings.js'

/** The API of kafboy, an HTTP server in Erlang, over the producer ekaf: `POST /async/TOPIC` and its relatives. */
export const kafboy: HttpApi<KafboySettings, 'kafboy'> = {
  name: 'kafboy',
  about: 'a web server in Erlang that writes to Kafka, for forms and JSON events',
  source: 'kafboy 0.6.0 (helpshift/kafboy fae3c4e) over ekaf 1.5.4 (helpshift/ekaf 8967b8a)',
  prefix: '/kafboy',
  settings: kafboySettings,
  tryIt: url => [`curl -i ${url}/sync/orders -d 'hello=world'`],
  operations: kafboyOperations,
  plugin: async context => (await import('./plugin.js')).kafboyPlugin(context)
}
