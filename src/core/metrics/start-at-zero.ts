import type { MetricsLogger, MetricTags } from './metrics-logger.js'

const reasons = ['unreachable', 'notLeader', 'notCoordinator', 'unknownTopicOrPartition', 'staleTopic', 'retryLater']

const by = (label: string, values: readonly string[]): MetricTags[] => values.map(value => ({ [label]: value }))
const UNLABELLED: readonly MetricTags[] = [{}]

/** Counters of a cluster whose labels are known beforehand. */
const counters: readonly (readonly [component: string, metricName: string, tags: readonly MetricTags[]])[] = [
  ['router', 'retries', by('reason', reasons)],
  ['router', 'unexpected_failures', by('actor', ['router'])],
  ['router', 'metadata_refreshes', UNLABELLED],
  ['router', 'cache_evictions', UNLABELLED],
  ['router', 'cluster_changes', UNLABELLED],
  ['delivery', 'delivered_records', UNLABELLED],
  ['delivery', 'failed_records', UNLABELLED],
  ['delivery', 'withdrawn_records', UNLABELLED],
  ['delivery', 'refused_records', UNLABELLED],
  ['delivery', 'retried_batches', UNLABELLED],
  ['delivery', 'found_batches', UNLABELLED],
  ['delivery', 'unchecked_batches', UNLABELLED],
  ['groups', 'unexpected_failures', UNLABELLED],
  ['groups', 'offered_messages', UNLABELLED],
  ['groups', 'retried_messages', UNLABELLED],
  ['groups', 'given_up_messages', UNLABELLED],
  ['groups', 'skipped_batches', UNLABELLED],
  ['groups', 'truncated_logs', UNLABELLED],
  ['groups', 'failed_commits', UNLABELLED],
  ['groups', 'exclusions', UNLABELLED],
  ['durable', 'accepted_records', UNLABELLED],
  ['durable', 'delivered_records', UNLABELLED],
  ['durable', 'refused_records', UNLABELLED],
  ['durable', 'dead_lettered_records', UNLABELLED],
  ['durable', 'retried_batches', UNLABELLED]
]
const gauges: readonly (readonly [component: string, metricName: string])[] = [
  ['router', 'waiting_requests'],
  ['router', 'cache_bytes'],
  ['router', 'decompressed_bytes'],
  ['delivery', 'buffered_records'],
  ['delivery', 'buffered_bytes'],
  ['delivery', 'stuck_bytes'],
  ['delivery', 'oldest_record_age_seconds'],
  ['delivery', 'unknown_topics'],
  ['delivery', 'partitions'],
  ['delivery', 'partitions_backing_off'],
  ['groups', 'groups'],
  ['durable', 'topics'],
  ['durable', 'partitions'],
  ['durable', 'partitions_backing_off'],
  ['durable', 'backlog_retention_ratio']
]
/** Counters that every broker has. */
const brokerCounters = [
  'fetches',
  'bytes_fetched',
  'batched_requests',
  'avoided_fetches',
  'cache_hits',
  'invalid_messages',
  'unknown_topic_or_partition_responses'
]

/**
 * Makes a cluster's metrics exist: an alert on a rate says nothing about a counter that appears with its first event.
 *
 * @param operations the names of all operations that the Router can be asked
 */
export function startAtZero(metrics: MetricsLogger, operations: readonly string[]): void {
  for (const tags of by('operation', operations)) metrics.count('router', 'timeouts_sent', tags, 0)
  for (const [component, name, tags] of counters) for (const one of tags) metrics.count(component, name, one, 0)
  for (const [component, name] of gauges) metrics.gauge(component, name, {}, 0)
}

/** The same for a broker that was discovered. */
export function startBrokerAtZero(metrics: MetricsLogger, tags: MetricTags): void {
  for (const name of brokerCounters) metrics.count('kafka_dispatcher', name, tags, 0)
}
