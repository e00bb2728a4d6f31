import { type Metric, Registry } from 'prom-client'
import type { Family } from './family.js'

/** The process's Prometheus registry; rooms and APIs register what they export. */
export interface PrometheusMetrics {
  readonly registry: Registry
  /**
   * The values of this moment of all processes that serve together; absent: this is the only one.
   *
   * @throws Error when the others cannot be asked
   */
  readonly gather?: (() => Promise<Registry>) | undefined
}

/** The values of all processes that serve together. */
export const wholeRegistry = async ({ registry, gather }: PrometheusMetrics): Promise<Registry> =>
  gather === undefined ? registry : gather()

export const createPrometheusMetrics = (): PrometheusMetrics => ({ registry: new Registry() })

/** Exports a family of our own beside prom-client's: a registry asks nothing of a metric but its name and `get()`. */
export const registerFamily = (registry: Registry, family: Pick<Family<unknown>, 'name' | 'get'>): void =>
  registry.registerMetric(family as unknown as Metric)
