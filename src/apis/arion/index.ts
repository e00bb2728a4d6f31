import type { HttpApi } from '../../http/api/api.js'
import { arionOperations } from './api.js'
import { type ArionSettings, arionSettings } from './settings.js'

/**
 * The API of Arion, the HTTP interface to Kafka's producer with a durable queue: `/sync`, `/async` and `/websocket`.
 *
 * Its differences to the original are in docs/compatibility/arion.md.
 */
export const arion: HttpApi<ArionSettings, 'arion'> = {
  name: 'arion',
  about: "an HTTP interface to Kafka's producer in Clojure, with a durable queue on disk",
  source: 'Arion 1.3.6 (CampusLabs/arion 096fd40)',
  prefix: '/arion',
  settings: arionSettings,
  tryIt: url => [`curl -i ${url}/sync/orders/k1 -d hello`],
  operations: () => arionOperations,
  plugin: async context => {
    const [{ WebSocketServer }, { arionPlugin }] = await Promise.all([import('ws'), import('./plugin.js')])
    return arionPlugin(context, WebSocketServer)
  }
}
