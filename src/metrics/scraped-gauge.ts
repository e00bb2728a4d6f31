import type { Registry } from 'prom-client'
import type { MetricTags } from './metrics-logger.js'
import { registerFamily } from './prometheus.js'

/** One value of a gauge and the labels it has. */
export interface Reading {
  readonly labels: MetricTags
  readonly value: number
}

/** Exports a gauge whose values are computed when it is scraped. */
export function registerScrapedGauge(registry: Registry, name: string, help: string, read: () => Reading[]): void {
  const gauge = {
    name,
    help,
    type: 'gauge',
    get: () => ({ name, help, type: 'gauge', values: read(), aggregator: 'sum' })
  }
  registerFamily(registry, gauge as unknown as Parameters<typeof registerFamily>[1])
}
