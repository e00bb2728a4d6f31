import { randomUUID } from 'node:crypto'
import type { OwnListener } from '../../http/api/api.js'
import { type Operation, text } from '../../http/openapi/operation.js'
import type { KprfSettings } from './settings.js'

/** Where the metrics stand on the shared port, below the prefix: only their own port leads there. */
export const METRICS_PATH = `/${randomUUID()}`

const metrics: Operation = {
  method: 'get',
  path: '/metrics',
  id: 'metrics',
  summary: "kprf's own metrics in the text format of Prometheus",
  answers: { 200: { description: 'The metrics', content: { 'text/plain': text } } }
}

/** kprf has a port for its metrics. */
export function metricsListeners(
  { host, metricsHost = host, metricsPort, tls }: KprfSettings,
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
        setting: 'apis.kprf.metricsHost',
        portSetting: 'apis.kprf.metricsPort'
      },
      tls: tls === 'inherit',
      operations: [metrics]
    }
  ]
}
