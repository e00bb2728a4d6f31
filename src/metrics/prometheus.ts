import { Registry } from 'prom-client'

/** The process's Prometheus registry; rooms and dialects register what they export. */
export interface PrometheusMetrics {
  readonly registry: Registry
}

export const createPrometheusMetrics = (): PrometheusMetrics => ({ registry: new Registry() })
