import type { StatsdType, StatsdValue } from './statsd-line.js'
import type { StatsdSource } from './statsd-reporter.js'

interface Reading {
  readonly labels: Readonly<Record<string, string | number | undefined>>
  readonly value: number
  readonly metricName?: string
}

/** A registry, or what says the same. */
export interface JsonRegistry {
  getMetricsAsJSON(): Promise<unknown>
}

interface Metric {
  readonly name: string
  readonly type: string
  readonly values: readonly Reading[]
}

/**
 * Everything in a registry of Prometheus by StatsD. The values of labels are appended to the name in the order of the
 * labels' names; of a histogram only its count and its sum are told.
 *
 *   castellan_http_requests_total{api="kprf",method="POST",status="200"}
 *   castellan.http_requests_total.kprf.POST.200                                   what came since the last time, as `c`
 */
export function registrySource(registry: JsonRegistry): StatsdSource {
  const totals = new Map<string, number>()
  const toValue = (metric: Metric, reading: Reading): StatsdValue => {
    const name = nameOf(reading.metricName ?? metric.name, reading.labels)
    if (metric.type === 'gauge') return { name, value: reading.value, type: 'g' }
    const before = totals.get(name) ?? 0
    totals.set(name, reading.value)
    return { name, value: reading.value - before, type: 'c' satisfies StatsdType }
  }
  return async () => {
    const metrics = (await registry.getMetricsAsJSON()) as Metric[]
    return metrics.flatMap(metric =>
      metric.values.filter(reading => !isBucket(reading)).map(reading => toValue(metric, reading))
    )
  }
}

const isBucket = ({ metricName = '' }: Reading): boolean => metricName.endsWith('_bucket')

/** A dot parts the names of StatsD, so there is none in a part. */
const partOf = (value: string | number | undefined): string => String(value).replace(/\./g, '_')

function nameOf(name: string, labels: Reading['labels']): string {
  const parts = Object.keys(labels)
    .sort()
    .map(label => partOf(labels[label]))
  return [name.replace(/^castellan_/, 'castellan.'), ...parts].join('.')
}
