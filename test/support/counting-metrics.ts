import type { MetricsLogger, MetricTags } from '../../src/core/metrics/metrics-logger.js'

const NANOSECONDS_PER_MILLISECOND = 1e6

/** Sums counters by name, whatever their tags. */
export class CountingMetrics implements MetricsLogger {
  readonly #counts = new Map<string, number>()
  readonly #gauges = new Map<string, number>()
  readonly #times = new Map<string, number>()
  readonly #milliseconds = new Map<string, number>()

  count(_component: string, metricName: string, tags: MetricTags = {}, value = 1): void {
    const tagged = keyOf(metricName, tags)
    if (tagged !== metricName) this.#counts.set(tagged, this.of(tagged) + value)
    this.#counts.set(metricName, this.of(metricName) + value)
  }

  time(_component: string, metricName: string, _tags: MetricTags, nanoSeconds: number): void {
    this.#times.set(metricName, this.timesOf(metricName) + 1)
    this.#milliseconds.set(metricName, this.millisecondsOf(metricName) + nanoSeconds / NANOSECONDS_PER_MILLISECOND)
  }

  gauge(_component: string, metricName: string, _tags: MetricTags, value: number): void {
    this.#gauges.set(metricName, value)
  }

  /** Sum of a counter. */
  of(metricName: string): number {
    return this.#counts.get(metricName) ?? 0
  }
  /** Value of a counter with these tags. */
  ofTagged(metricName: string, tags: MetricTags): number {
    return this.of(keyOf(metricName, tags))
  }
  gaugeOf(metricName: string): number | undefined {
    return this.#gauges.get(metricName)
  }
  /** Sum of the times that were reported. */
  millisecondsOf(metricName: string): number {
    return this.#milliseconds.get(metricName) ?? 0
  }
  /** How often a time was reported. */
  timesOf(metricName: string): number {
    return this.#times.get(metricName) ?? 0
  }
}

const keyOf = (metricName: string, tags: MetricTags): string =>
  [
    metricName,
    ...Object.keys(tags)
      .toSorted()
      .map(name => `${name}=${tags[name]}`)
  ].join(' ')
