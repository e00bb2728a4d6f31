import { Family } from '../../core/metrics/family.js'
import type { MetricTags } from '../../core/metrics/metrics-logger.js'

const BUCKETS_MS = [5, 10, 20, 40, 80]

/** Durations in milliseconds, in kprf's buckets. */
export class MillisecondHistogram {
  readonly #counts = new Array<number>(BUCKETS_MS.length + 1).fill(0)
  #sumMs = 0

  observe(durationMs: number, count = 1): void {
    let bucket = 0
    while (bucket < BUCKETS_MS.length && durationMs > BUCKETS_MS[bucket]!) bucket++
    this.#counts[bucket]! += count
    this.#sumMs += durationMs * count
  }

  toValues(name: string, labels: MetricTags) {
    let total = 0
    const buckets = this.#counts.map((count, index) => {
      total += count
      return { labels: { ...labels, le: BUCKETS_MS[index] ?? '+Inf' }, value: total, metricName: `${name}_bucket` }
    })
    return [
      ...buckets,
      { labels, value: this.#sumMs, metricName: `${name}_sum` },
      { labels, value: total, metricName: `${name}_count` }
    ]
  }
}

export const millisecondFamily = (name: string, help: string): Family<MillisecondHistogram> =>
  new Family(
    name,
    help,
    'histogram',
    'sum',
    () => new MillisecondHistogram(),
    (familyName, labels, series) => series.toValues(familyName, labels)
  )
