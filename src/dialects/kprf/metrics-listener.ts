import { randomUUID } from 'node:crypto'
import type { OwnListener } from '../dialect.js'
import type { KprfSettings } from './settings.js'

/** Where the metrics stand on the shared port, below the prefix: only their own port leads there. */
export const METRICS_PATH = `/${randomUUID()}`

/** kprf has a port for its metrics. */
export function metricsListeners(
  { host, metricsHost = host, metricsPort }: KprfSettings,
  shared: { readonly host: string }
): readonly OwnListener[] {
  if (metricsPort === undefined) return []
  return [
    {
      label: 'kprf metrics',
      prefix: `/kprf${METRICS_PATH}`,
      address: {
        host: metricsHost ?? shared.host,
        port: metricsPort,
        setting: 'dialects.kprf.metricsHost',
        portSetting: 'dialects.kprf.metricsPort'
      },
      tls: false
    }
  ]
}
