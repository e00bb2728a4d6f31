import type { Registry } from 'prom-client'
import type { AcrossWorkers } from './family.js'
import type { MetricTags } from './metrics-logger.js'
import { registerFamily } from './prometheus.js'

/** One value of a gauge and the labels it has. */
export interface Reading {
  readonly labels: MetricTags
  readonly value: number
}

/** Exports a gauge whose values are computed when it is scraped. */
export const registerScrapedGauge = (
  registry: Registry,
  name: string,
  help: string,
  acrossWorkers: AcrossWorkers,
  read: () => Reading[]
): void => registerScraped(registry, 'gauge', name, help, acrossWorkers, read)

/** The same for values that are computed from counters. */
export const registerScrapedCounter = (registry: Registry, name: string, help: string, read: () => Reading[]): void =>
  registerScraped(registry, 'counter', name, help, 'sum', read)

function registerScraped(
  registry: Registry,
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  acrossWorkers: AcrossWorkers,
  read: () => Reading[]
): void {
  const metric = { name, help, type, get: () => ({ name, help, type, values: read(), aggregator: acrossWorkers }) }
  registerFamily(registry, metric as unknown as Parameters<typeof registerFamily>[1])
}
