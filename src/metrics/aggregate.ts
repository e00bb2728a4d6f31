import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client'

/** All metrics of one process, as they can be sent to another one. */
export type MetricsSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[]

type Aggregator = 'sum' | 'min' | 'max' | 'first' | 'average'

/** How the values of several processes become one where that is not their sum. */
const aggregators: ReadonlyMap<string, Aggregator> = new Map([
  ['castellan_ready', 'min'],
  ['castellan_cluster_ready', 'min'],
  ['castellan_cluster_brokers_known', 'max'],
  ['castellan_cluster_brokers_up', 'min'],
  ['castellan_delivery_oldest_record_age_seconds', 'max'],
  ['castellan_wal_oldest_record_age_seconds', 'max'],
  ['castellan_wal_writable', 'min'],
  ['castellan_event_loop_delay_seconds', 'max'],
  ['castellan_event_loop_utilization_ratio', 'max'],
  ['castellan_info', 'first'],
  ['kprf_app_metadata', 'first'],
  ['nodejs_version_info', 'first'],
  ['process_start_time_seconds', 'min'],
  ['process_max_fds', 'min']
])

export const takeSnapshot = async (registry: Registry): Promise<MetricsSnapshot> =>
  (await registry.getMetricsAsJSON()) as unknown as MetricsSnapshot

/**
 * The metrics of several processes as those of one: counters and histograms are summed, and so are gauges, but for those
 * of which only the worst value says something.
 */
export function aggregate(snapshots: readonly MetricsSnapshot[]): Registry {
  const named = snapshots.map(metrics =>
    metrics.map(metric => ({ ...metric, aggregator: aggregators.get(metric.name) ?? 'sum' }))
  )
  return AggregatorRegistry.aggregate(named as unknown as object[])
}

/** Of a process that is gone: what counted, without what was. */
export const countersOf = (snapshot: MetricsSnapshot): MetricsSnapshot =>
  snapshot.filter(({ type }) => (type as unknown as string) !== 'gauge')
