/** Tags of a measurement. Use few tags, each with few possible values. */
export type MetricTags = Readonly<Record<string, string>>

/**
 * Receives the measurements of all rooms. `count` and `time` are Castle's interface. The methods are called on the event loop
 * and must not wait. What they throw is a warning of the process, once.
 *
 * Source: Box-Castle/router 1.0.3, metrics/MetricsLogger.scala.
 */
export interface MetricsLogger {
  count(component: string, metricName: string, tags?: MetricTags, value?: number): void
  time(component: string, metricName: string, tags: MetricTags, nanoSeconds: number): void
  /** Sets the current value of something that goes up and down, such as a queue depth. Absent: such values are dropped. */
  gauge?(component: string, metricName: string, tags: MetricTags, value: number): void
}

export const NANOSECONDS_PER_MILLISECOND = 1e6

/** Drops all measurements. */
export const defaultLogger: MetricsLogger = { count() {}, time() {}, gauge() {} }

/** Adds the same tags to every measurement. */
export class TaggedMetricsLogger implements MetricsLogger {
  readonly #inner: MetricsLogger
  readonly #added: MetricTags
  /**
   * Merged tags, by the caller's tags object. The inner logger needs the same merged object for the same tags object.
   */
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
    this.#inner.gauge?.(component, metricName, this.#merge(tags), value)
  }

  #merge(tags: MetricTags): MetricTags {
    let merged = this.#merged.get(tags)
    if (!merged) this.#merged.set(tags, (merged = { ...tags, ...this.#added }))
    return merged
  }
}

const NO_TAGS = {}

/** The names of metrics by those of their statistics, as a list. */
export const entriesOf = <Key extends string>(names: Readonly<Record<Key, string>>) =>
  Object.entries(names) as [Key, string][]

/** Names of metrics by those of their statistics. */
export interface StatNames<Counter extends string, Gauge extends string> {
  readonly component: string
  readonly counters: Readonly<Record<Counter, string>>
  readonly gauges: Readonly<Record<Gauge, string>>
}

/** Reports statistics from time to time instead of each change: what counters have gained, and gauges that have changed. */
export class StatsReporter<Counter extends string, Gauge extends string> {
  readonly #metrics: MetricsLogger
  readonly #names: StatNames<Counter, Gauge>
  #last: Readonly<Record<Counter | Gauge, number>> | undefined

  constructor(metrics: MetricsLogger, names: StatNames<Counter, Gauge>) {
    this.#metrics = metrics
    this.#names = names
  }

  report(stats: Readonly<Record<Counter | Gauge, number>>): void {
    const { component, counters, gauges } = this.#names
    for (const [name, metric] of entriesOf(counters)) {
      const more = stats[name] - (this.#last?.[name] ?? 0)
      if (more > 0) this.#metrics.count(component, metric, NO_TAGS, more)
    }
    for (const [name, metric] of entriesOf(gauges))
      if (stats[name] !== this.#last?.[name]) this.#metrics.gauge?.(component, metric, NO_TAGS, stats[name])
    this.#last = stats
  }
}
