import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { OwnListener } from '../../http/api/api.js'
import type { Operation } from '../../http/openapi/operation.js'
import type { KprfSettings } from './settings.js'

/** Secret path of the metrics below the prefix. Only requests to the metrics port are routed to it. */
export const METRICS_PATH = `/${randomUUID()}`

const metrics: Operation = {
  method: 'get',
  path: '/metrics',
  id: 'metrics',
  summary: "kprf's own metrics in the text format of Prometheus",
  answers: { 200: { description: 'The metrics', content: { 'text/plain': z.string() } } }
}

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
      operations: [metrics]
    }
  ]
}
