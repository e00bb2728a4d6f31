import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client'

/** All metrics of one process, as they can be sent to another one. */
export type MetricsSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[]

export const takeSnapshot = async (registry: Registry): Promise<MetricsSnapshot> =>
  (await registry.getMetricsAsJSON()) as unknown as MetricsSnapshot

/** The metrics of several processes as those of one. Each metric says how: `acrossWorkers` of what makes it. */
export const aggregate = (snapshots: readonly MetricsSnapshot[]): Registry =>
  AggregatorRegistry.aggregate(snapshots as unknown as object[])

/** Of a process that is gone: what counted, without what was. */
export const countersOf = (snapshot: MetricsSnapshot): MetricsSnapshot =>
  snapshot.filter(({ type }) => (type as unknown as string) !== 'gauge')
