import type { FastifyInstance } from 'fastify'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'

/** The state of the process that the management port reports. */
export interface ProcessStatus {
  readonly version: string
  readonly brokerMode: 'embedded' | 'kafka'
  uptimeSeconds(): number
  /** Reasons for not being ready; empty: ready. */
  unreadyReasons(): readonly string[]
  /** What an operator should know although requests are served. */
  warnings(): readonly string[]
}

/** What `/metrics` answers, computed when it is asked. */
export interface MetricsText {
  readonly registry: Pick<PrometheusMetrics['registry'], 'contentType' | 'metrics'>
}

const PROBES: readonly (string | undefined)[] = ['/health-check', '/ready']

/** Whether a route reports liveness or readiness only. */
export const isProbe = (route: string | undefined): boolean => PROBES.includes(route)

/** `/health-check`, `/ready` and `/metrics`: GET only, no configuration, no addresses of brokers. */
export function addManagementRoutes(app: FastifyInstance, status: ProcessStatus, { registry }: MetricsText): void {
  app.get('/health-check', () => ({
    status: 'ok',
    broker: status.brokerMode,
    version: status.version,
    uptimeSeconds: Math.floor(status.uptimeSeconds())
  }))
  app.get('/ready', (_, reply) => {
    const reasons = status.unreadyReasons()
    reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ ready: reasons.length === 0, reasons, warnings: status.warnings() })
  })
  app.get('/metrics', async (_, reply) => {
    reply.type(registry.contentType)
    return registry.metrics()
  })
  app.setNotFoundHandler((_, reply) => {
    reply
      .code(404)
      .send({ error: 'not found', message: 'the routes are /health-check, /ready, /metrics and /openapi.json' })
  })
}
