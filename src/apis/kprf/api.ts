import type { HttpApi, OwnListener } from '../../http/api/api.js'
import { kprfOperations, metricsOperation } from './routes.js'
import { type KprfSettings, kprfSettings, METRICS_PATH } from './settings.js'

/** kprf has a port for its metrics. */
export function metricsListeners(
  { host, metricsPort, tls }: KprfSettings,
  shared: { readonly host: string }
): readonly OwnListener[] {
  if (metricsPort === undefined) return []
  return [
    {
      label: 'kprf metrics',
      prefix: `/kprf${METRICS_PATH}`,
      address: {
        host: host ?? shared.host,
        port: metricsPort,
        setting: 'apis.kprf.host',
        portSetting: 'apis.kprf.metricsPort'
      },
      tls: tls === 'inherit',
      operations: [metricsOperation]
    }
  ]
}

/** The API of kprf, the Kafka producer proxy in Rust: `POST /push`. */
export const kprf: HttpApi<KprfSettings, 'kprf'> = {
  name: 'kprf',
  about: 'a Kafka producer proxy in Rust, for services that have no Kafka client',
  source: 'kprf 0.2.4 (lartie/kafka-proxy fd32acc)',
  prefix: '/kprf',
  settings: kprfSettings,
  tryIt: url => [
    `curl -i ${url}/push -H 'content-type: application/json' -d '{"records":[{"topic":"orders","key":"k1","data":"hello"}],"wait_for_send":true}'`
  ],
  listeners: metricsListeners,
  operations: kprfOperations,
  plugin: async context => (await import('./plugin.js')).kprfPlugin(context)
}
