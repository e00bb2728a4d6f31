import type { HttpApi } from '../../http/api/api.js'
import { kprfOperations } from './api.js'
import { translateCompat } from './compat/translate.js'
import { metricsListeners } from './metrics-listener.js'
import { type KprfSettings, kprfSettings } from './settings.js'
import { limitsOfAll } from './shared-limits.js'

/**
 * The API of kprf, the Kafka producer proxy in Rust: `POST /push`.
 *
 * Its differences to the original are in docs/compatibility/kprf.md.
 */
export const kprf: HttpApi<KprfSettings, 'kprf'> = {
  name: 'kprf',
  about: 'a Kafka producer proxy in Rust, for services that have no Kafka client',
  source: 'kprf 0.2.4 (lartie/kafka-proxy fd32acc)',
  prefix: '/kprf',
  settings: kprfSettings,
  tryIt: url => [
    `curl -i ${url}/push -H 'content-type: application/json' -d '{"records":[{"topic":"orders","key":"k1","data":"hello"}],"wait_for_send":true}'`
  ],
  implied: ({ compat = {} }, originOf) => translateCompat(compat, path => originOf(['compat', ...path])).settings,
  listeners: metricsListeners,
  shared: settings => limitsOfAll(settings, () => performance.now()),
  operations: kprfOperations,
  plugin: async context => (await import('./plugin.js')).kprfPlugin(context)
}
