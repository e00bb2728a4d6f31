import type { MetricsLogger, MetricTags } from './metrics-logger.js'

/** Adds the same tags to every measurement. */
export class TaggedMetricsLogger implements MetricsLogger {
  readonly #inner: MetricsLogger
  readonly #added: MetricTags
  /** Merged tags by the original tags object: rooms reuse their tag objects, and so does the logger below. */
  readonly #merged = new WeakMap<MetricTags, MetricTags>()

  constructor(inner: MetricsLogger, added: MetricTags) {
    this.#inner = inner
    this.#added = added
  }

  count(component: string, metricName: string, tags?: MetricTags, value?: number): void {
    this.#inner.count(component, metricName, tags ? this.#merge(tags) : this.#added, value)
  }

  time(component: string, metricName: string, tags: MetricTags, nanoSeconds: number): void {
    this.#inner.time(component, metricName, this.#merge(tags), nanoSeconds)
  }

  gauge(component: string, metricName: string, tags: MetricTags, value: number): void {
    this.#inner.gauge(component, metricName, this.#merge(tags), value)
  }

  #merge(tags: MetricTags): MetricTags {
    let merged = this.#merged.get(tags)
    if (!merged) this.#merged.set(tags, (merged = { ...tags, ...this.#added }))
    return merged
  }
}
