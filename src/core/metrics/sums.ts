import type { Exportable } from './family.js'

/** How often something was timed, and the sum of the times. */
export interface TimeSum {
  readonly count: number
  readonly seconds: number
}

type Labels = Readonly<Record<string, string | number>>

/** A registry of prom-client, as far as metrics of our own are read here. */
export interface ReadableRegistry {
  getSingleMetric(name: string): unknown
}

/** Metrics of our own answer at once; those of prom-client are not read here. */
const valuesOf = (registry: ReadableRegistry, name: string): ReturnType<Exportable['get']>['values'] =>
  (registry.getSingleMetric(name) as Exportable | undefined)?.get().values ?? []

/** The sum of the series of a counter or gauge whose labels match. */
export function sumOfSeries(
  registry: ReadableRegistry,
  name: string,
  matches: (labels: Labels) => boolean = () => true
): number {
  let sum = 0
  for (const { labels, value } of valuesOf(registry, name)) if (matches(labels)) sum += value
  return sum
}

/** The sum of the series of a histogram whose labels match. */
export function sumOfTimes(
  registry: ReadableRegistry,
  name: string,
  matches: (labels: Labels) => boolean = () => true
): TimeSum {
  let [count, seconds] = [0, 0]
  for (const { labels, value, metricName } of valuesOf(registry, name)) {
    if (!matches(labels)) continue
    if (metricName === `${name}_sum`) seconds += value
    else if (metricName === `${name}_count`) count += value
  }
  return { count, seconds }
}
