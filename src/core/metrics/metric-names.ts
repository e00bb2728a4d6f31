import type { AcrossWorkers } from './family.js'

/** The counters and durations of all rooms by `component.metric_name`, and their meanings. */
const counted: readonly (readonly [string, string])[] = [
  ['router.unexpected_failures', 'Bugs met by the Router'],
  ['router.request_latency', 'From a request to its answer'],
  ['router.retries', 'Requests that were routed again'],
  ['router.timeouts_sent', 'Requests answered timedOut'],
  ['router.metadata_refreshes', 'Metadata calls sent'],
  ['router.cluster_changes', 'Times that another Kafka cluster answered at the same addresses'],
  ['router.cache_evictions', 'Batches that had to leave the cache for others'],
  ['http.admission_wait', 'How long requests waited, unread, that found no room at once'],
  ['kafka_dispatcher.unexpected_failures', 'Bugs met by a dispatcher'],
  ['kafka_dispatcher.calls', 'Calls sent'],
  ['kafka_dispatcher.failed_calls', 'Calls whose answer did not come, or could not be read'],
  ['kafka_dispatcher.timed_out_calls', 'Of those, how many were not answered in time'],
  ['kafka_dispatcher.call', 'From a call to the answer of the broker'],
  ['kafka_dispatcher.fetches', 'Fetch calls sent'],
  ['kafka_dispatcher.bytes_fetched', 'Bytes of fetch responses'],
  ['kafka_dispatcher.batched_requests', 'Requests served by a fetch response'],
  ['kafka_dispatcher.avoided_fetches', 'Queued requests served by the response to another one'],
  ['kafka_dispatcher.cache_hits', 'Requests answered from the cache'],
  ['kafka_dispatcher.invalid_messages', 'Partitions whose records were damaged'],
  ['kafka_dispatcher.unknown_topic_or_partition_responses', 'Partitions a broker did not know'],
  ['groups.unexpected_failures', 'Bugs met by a consumer group'],
  ['groups.offered_messages', 'Messages given to clients, those that are offered again included'],
  ['groups.retried_messages', 'Messages offered again because they were not acknowledged in time'],
  ['groups.given_up_messages', 'Messages that were offered as often as allowed, and count as acknowledged'],
  ['groups.skipped_batches', 'Damaged batches that groups had to skip'],
  ['groups.truncated_logs', 'Times that the end of a log was lost, and a group went on where the logs part'],
  ['groups.failed_commits', 'Commits of groups that Kafka refused for good'],
  ['groups.exclusions', 'Times that a group went on without this member, which had to join again'],
  ['delivery.delivered_records', 'Records that are in Kafka'],
  ['delivery.failed_records', 'Records Kafka refused, or that were given up'],
  ['delivery.withdrawn_records', 'Records taken back at the deadline of their request, before anything was sent'],
  [
    'delivery.lost_records',
    'Records that were accepted and are lost: their client was not told, and they are not known to be in Kafka'
  ],
  ['delivery.refused_records', 'Records that were not accepted: full, too large, no such topic'],
  ['delivery.retried_batches', 'Batches that were sent again'],
  ['delivery.found_batches', 'Batches of which no answer had come that were found in the log, and not sent again'],
  ['delivery.unchecked_batches', 'Batches that may be in the log twice: they were sent again without knowing'],
  ['delivery.capacity_wait', 'How long records waited for room in their partition that were taken then'],
  ['delivery.partition_wait', 'From the oldest record of a batch to the moment the Router has the batch'],
  ['durable.accepted_records', 'Records that the durable log has taken'],
  ['durable.delivered_records', 'Records from the durable log that are in Kafka'],
  [
    'durable.refused_records',
    'Records that were to be kept on disk and were not accepted: the log is full or failed, or the record is too large'
  ],
  ['durable.dead_lettered_records', 'Records that Kafka refused for good and that are dead letters now'],
  ['durable.retried_batches', 'Batches of records from the durable log that were sent again'],
  ['wal.syncs', 'Syncs of the files of the durable log']
]

/** Their gauges: how those of several processes become one, and their meanings. */
const gauges: readonly (readonly [string, AcrossWorkers, string])[] = [
  ['router.waiting_requests', 'sum', 'Requests that wait for a leader, a coordinator or a broker'],
  ['router.cache_bytes', 'sum', 'Memory held by fetched batches'],
  ['router.decompressed_bytes', 'sum', 'Memory held by records that were decompressed'],
  ['kafka_dispatcher.queue_depth', 'sum', 'Requests that wait at a dispatcher of a broker'],
  ['groups.groups', 'sum', 'Consumer groups that this process takes part in'],
  ['delivery.buffered_records', 'sum', 'Records that wait for Kafka'],
  ['delivery.buffered_bytes', 'sum', 'Their bytes, bookkeeping included'],
  [
    'delivery.stuck_bytes',
    'sum',
    'Of these, bytes of partitions whose batch was not acknowledged within 0.5 s, and of topics that are being looked up'
  ],
  ['delivery.buffer_limit_bytes', 'sum', 'Most bytes that may wait: `delivery.maxBytes`'],
  [
    'delivery.oldest_record_age_seconds',
    'max',
    'How long the oldest record that waits for Kafka has waited; 0: none waits'
  ],
  [
    'delivery.unknown_topics',
    'sum',
    'Topics of records that are being looked up, that do not exist, or whose absence is remembered'
  ],
  ['delivery.partitions', 'sum', 'Partitions that are written to'],
  ['delivery.partitions_backing_off', 'sum', 'Of those, how many wait before they try again'],
  [
    'durable.topics',
    'sum',
    'Topics that have records in the durable log or had some lately; of those that Kafka does not know, at most 1,000'
  ],
  ['durable.partitions', 'sum', 'Partitions that records from the durable log are written to'],
  ['durable.partitions_backing_off', 'sum', 'Of those, how many wait before they try again'],
  [
    'durable.backlog_retention_ratio',
    'max',
    'How long records of a topic have waited in the durable log, divided by `retention.ms` of the topic, of the topic where it is most. Above 1 Kafka deletes the oldest ones as soon as it has them. 0 with `wal.timestamps` `sent`'
  ],
  ['wal.open_records', 'sum', 'Records of the durable log that are not in Kafka yet'],
  [
    'wal.oldest_record_age_seconds',
    'max',
    'How long the oldest record of the durable log has waited for Kafka; 0: none waits'
  ],
  [
    'wal.writable',
    'min',
    '1 while the durable log takes records, 0 while it is full, the disk fails, or its directory cannot be used'
  ],
  ['wal.size_bytes', 'sum', 'What the durable log takes on disk, without dead letters'],
  ['wal.limit_bytes', 'sum', 'Most that the durable log may take on disk: `wal.maxBytes`'],
  ['wal.segments', 'sum', 'Files of the durable log'],
  ['wal.dead_letters', 'sum', 'Records that Kafka has refused for good; `castellan wal dead-letters` lists them'],
  ['wal.damaged_records', 'sum', 'Records of the durable log that damage has taken, as far as they were looked at'],
  ['wal.quarantined_segments', 'sum', 'Damaged files of the durable log that were put aside'],
  ['wal.read_ahead_bytes', 'sum', 'Memory for records that were read from the durable log and wait for Kafka'],
  [
    'wal.read_ahead_limit_bytes',
    'sum',
    'Most memory for records that were read from the durable log: `wal.readAheadBytes`'
  ]
]

/** The same by name. */
export const gaugesAcrossWorkers: ReadonlyMap<string, AcrossWorkers> = new Map(
  gauges.map(([name, across]) => [name, across])
)

/** The metrics of all rooms: the HELP text of Prometheus, and the table of docs/metrics.md. */
export const metricMeanings: ReadonlyMap<string, string> = new Map([
  ...counted,
  ...gauges.map(([name, , meaning]) => [name, meaning] as const)
])

/** The description of a metric; one that is not in the table is described by its name. */
export const helpFor = (component: string, metricName: string): string =>
  metricMeanings.get(`${component}.${metricName}`) ?? `${metricName} of ${component}`

/** How a gauge of several processes becomes one; a gauge that no room has is summed. */
export const acrossWorkersOf = (component: string, metricName: string): AcrossWorkers =>
  gaugesAcrossWorkers.get(`${component}.${metricName}`) ?? 'sum'
