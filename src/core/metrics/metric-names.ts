import type { AcrossWorkers } from './family.js'
import type { MetricsLogger, MetricTags } from './metrics-logger.js'

const UNLABELLED: readonly MetricTags[] = [{}]
const EACH_BROKER = 'eachBroker'

const labelled = (label: string, values: readonly string[]): MetricTags[] => values.map(value => ({ [label]: value }))

/**
 * The series of a counter that exist from the start with the value 0: a list of labels, or one series for each broker.
 */
type Initial = readonly MetricTags[] | typeof EACH_BROKER

const retryReasons = labelled('reason', [
  'unreachable',
  'notLeader',
  'notCoordinator',
  'unknownTopicOrPartition',
  'staleTopic',
  'retryLater'
])

/** The counters and durations of all rooms: `component.metric_name`, its meaning, and the series that start at zero. */
const counted: readonly (readonly [name: string, meaning: string, initial?: Initial])[] = [
  ['router.unexpected_failures', 'Bugs met by the Router', labelled('actor', ['router'])],
  ['router.request_latency', 'Time from a request to its answer'],
  ['router.retries', 'Requests that were routed again', retryReasons],
  ['router.timeouts_sent', 'Requests that were answered `timedOut`'],
  ['router.metadata_refreshes', 'Metadata calls that were sent', UNLABELLED],
  ['router.cluster_changes', 'How often another Kafka cluster answered at the same addresses', UNLABELLED],
  ['router.cache_evictions', 'Batches that were evicted from the cache in favour of others', UNLABELLED],
  [
    'http.idempotent_requests',
    'Requests with the header `Idempotency-Key`, by what was done with them',
    labelled('result', ['claimed', 'replayed', 'conflict', 'busy', 'full', 'invalid', 'away'])
  ],
  ['http.admission_wait', 'How long requests waited for free memory or disk before their bodies were read'],
  ['kafka_dispatcher.unexpected_failures', 'Bugs met by a dispatcher'],
  ['kafka_dispatcher.calls', 'Calls that were sent'],
  ['kafka_dispatcher.failed_calls', 'Calls without an answer, or with an answer that could not be read'],
  ['kafka_dispatcher.timed_out_calls', 'Calls without an answer within their time limit; they count as failed, too'],
  ['kafka_dispatcher.call', 'Time from a call to the answer of the broker'],
  ['kafka_dispatcher.fetches', 'Fetch calls that were sent', EACH_BROKER],
  ['kafka_dispatcher.bytes_fetched', 'Bytes of fetch responses', EACH_BROKER],
  ['kafka_dispatcher.batched_requests', 'Requests that were answered from a fetch response', EACH_BROKER],
  [
    'kafka_dispatcher.avoided_fetches',
    'Queued requests that were answered from the fetch response for another request',
    EACH_BROKER
  ],
  ['kafka_dispatcher.cache_hits', 'Requests answered from the cache', EACH_BROKER],
  ['kafka_dispatcher.invalid_messages', 'Partitions in fetch responses whose records were damaged', EACH_BROKER],
  [
    'kafka_dispatcher.unknown_topic_or_partition_responses',
    'Partitions in responses that the broker did not know',
    EACH_BROKER
  ],
  ['groups.unexpected_failures', 'Bugs met by a consumer group', UNLABELLED],
  ['groups.offered_messages', 'Messages given to clients; a message that is given twice counts twice', UNLABELLED],
  ['groups.retried_messages', 'Messages given again because they were not acknowledged in time', UNLABELLED],
  [
    'groups.given_up_messages',
    'Messages that were given as often as allowed and never acknowledged; the group treats them as acknowledged',
    UNLABELLED
  ],
  ['groups.skipped_batches', 'Damaged batches that groups have skipped', UNLABELLED],
  [
    'groups.truncated_logs',
    'How often the end of a log was lost, and a group continued at the offset where the logs diverge',
    UNLABELLED
  ],
  ['groups.failed_commits', 'Commits of groups that Kafka refused for good', UNLABELLED],
  ['groups.exclusions', 'How often a group excluded this member, so that it had to join again', UNLABELLED],
  ['delivery.delivered_records', 'Records that were written to Kafka', UNLABELLED],
  [
    'delivery.failed_records',
    'Accepted records that Kafka refused, for example as too large for the topic, or that Castellan gave up',
    UNLABELLED
  ],
  [
    'delivery.withdrawn_records',
    'Records that were withdrawn at the deadline of their request, before they were sent',
    UNLABELLED
  ],
  [
    'delivery.lost_records',
    'Accepted records that are not known to be in Kafka, and whose client had been answered before'
  ],
  [
    'delivery.refused_records',
    'Records that delivery did not accept: the buffer is full, the record is larger than delivery.maxRecordBytes, or the topic does not exist. Not those that an API refuses before: `castellan_refused_records_total` counts both. Records that Kafka refuses count as failed',
    UNLABELLED
  ],
  ['delivery.retried_batches', 'Batches that were sent again', UNLABELLED],
  [
    'delivery.found_batches',
    'Batches without an answer that were found in the log of the partition, and therefore not sent again',
    UNLABELLED
  ],
  [
    'delivery.unchecked_batches',
    'Batches that were sent again although they may already be in the log of the partition; they may be there twice',
    UNLABELLED
  ],
  [
    'delivery.capacity_wait',
    'How long accepted records waited until the producer of their partition had free capacity'
  ],
  ['delivery.partition_wait', 'Time from the oldest record of a batch until the Router gets the batch'],
  ['durable.accepted_records', 'Records that the durable log has accepted', UNLABELLED],
  ['durable.delivered_records', 'Records from the durable log that were written to Kafka', UNLABELLED],
  [
    'durable.refused_records',
    'Records that the durable log did not accept: it is full or has failed, or the record is larger than delivery.maxRecordBytes. Not those that an API refuses before',
    UNLABELLED
  ],
  ['durable.dead_lettered_records', 'Records that became dead letters because Kafka refused them for good', UNLABELLED],
  ['durable.retried_batches', 'Batches of records from the durable log that were sent again', UNLABELLED],
  [
    'peers.calls',
    'Calls to other gateways. `result`: `answered`; `failed`: by an error of the other gateway; `late`: not in time; `refused`: too many calls are in progress; `away`: the gateway is gone or does not answer'
  ],
  [
    'peers.refused_requests',
    'Requests and connections that the listener for other gateways refused. `reason`: `address`, `token`'
  ],
  ['wal.syncs', 'Syncs of the files of the durable log']
]

/**
 * The gauges of all rooms: name, how the values of several processes become one, meaning, and whether the gauge starts
 * at zero.
 */
const gauges: readonly (readonly [name: string, across: AcrossWorkers, meaning: string, startsAtZero?: true])[] = [
  ['router.waiting_requests', 'sum', 'Requests that wait for a leader, a coordinator or a broker', true],
  ['router.cache_bytes', 'sum', 'Memory held by fetched batches', true],
  ['router.decompressed_bytes', 'sum', 'Memory held by decompressed records', true],
  [
    'http.idempotency_used_ratio',
    'max',
    'Used share of `idempotency.maxBytes`, in memory or on disk, whichever is larger; as of the latest request with a key',
    true
  ],
  ['kafka_dispatcher.queue_depth', 'sum', 'Requests that wait at a dispatcher of a broker'],
  ['groups.groups', 'sum', 'Consumer groups that this process takes part in', true],
  ['groups.instances', 'sum', 'Consumer instances of this process', true],
  ['peers.gateways', 'max', 'Other gateways that answer'],
  ['delivery.buffered_records', 'sum', 'Records that wait for Kafka', true],
  ['delivery.buffered_bytes', 'sum', 'Bytes of the records that wait for Kafka, bookkeeping included', true],
  [
    'delivery.stuck_bytes',
    'sum',
    'Buffered bytes of partitions whose batch waits more than 0.5 s for an acknowledgement, and of topics that are being looked up',
    true
  ],
  ['delivery.buffer_limit_bytes', 'sum', 'Limit of the bytes that may wait for Kafka: `delivery.maxBytes`'],
  [
    'delivery.oldest_record_age_seconds',
    'max',
    'How long the oldest record that waits for Kafka has waited; 0: none waits',
    true
  ],
  [
    'delivery.unknown_topics',
    'sum',
    'Topics that are being looked up for waiting records, and topics that are remembered as missing',
    true
  ],
  ['delivery.partitions', 'sum', 'Partitions that records are written to', true],
  ['delivery.partitions_backing_off', 'sum', 'Partitions that wait before their batch is sent again', true],
  [
    'durable.topics',
    'sum',
    'Topics that have records in the durable log, or had some lately. At most 1,000 topics that Kafka does not know are counted',
    true
  ],
  ['durable.partitions', 'sum', 'Partitions that records from the durable log are written to', true],
  [
    'durable.partitions_backing_off',
    'sum',
    'Partitions of the durable log that wait before their batch is sent again',
    true
  ],
  [
    'durable.backlog_retention_ratio',
    'max',
    'Longest wait of a record in the durable log, divided by `retention.ms` of its topic; the highest of all topics. Above 1, Kafka deletes the oldest records as soon as it has them. 0 with `wal.timestamps` `sent`',
    true
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
    '1 while the durable log accepts records; 0 while it is full, the disk fails, or its directory cannot be used'
  ],
  ['wal.size_bytes', 'sum', 'Bytes of the durable log on disk, without dead letters'],
  ['wal.limit_bytes', 'sum', 'Limit of the bytes of the durable log on disk: `wal.maxBytes`'],
  ['wal.segments', 'sum', 'Files of the durable log'],
  ['wal.dead_letters', 'sum', 'Records that Kafka has refused for good; `castellan wal dead-letters` lists them'],
  ['wal.damaged_records', 'sum', 'Damaged records that were found in the durable log'],
  [
    'wal.quarantined_segments',
    'sum',
    'Files of the durable log that were moved aside, because they are damaged or cannot be read'
  ],
  ['wal.outcome_bytes', 'sum', 'Bytes on disk of what became of records of the durable log, for receipts'],
  ['wal.lost_outcomes', 'sum', 'Records whose outcome could not be written; their receipts say `unknown`'],
  ['wal.damaged_files', 'sum', 'Damaged files of receipts and keys of requests that were found'],
  ['wal.read_ahead_bytes', 'sum', 'Memory held by records that were read from the durable log and wait for Kafka'],
  [
    'wal.read_ahead_limit_bytes',
    'sum',
    'Limit of the memory held by records that were read from the durable log: `advanced.wal.readAheadBytes`'
  ]
]

/** How the values of several processes become one, by the name of the gauge. */
export const gaugesAcrossWorkers: ReadonlyMap<string, AcrossWorkers> = new Map(
  gauges.map(([name, across]) => [name, across])
)

/** The metrics of all rooms: the HELP text of Prometheus, and the table of docs/metrics.md. */
export const metricMeanings: ReadonlyMap<string, string> = new Map([
  ...counted.map(([name, meaning]) => [name, meaning] as const),
  ...gauges.map(([name, , meaning]) => [name, meaning] as const)
])

/** The description of a metric. The description of a metric that is not in the table is its name. */
export const helpFor = (component: string, metricName: string): string =>
  metricMeanings.get(`${component}.${metricName}`) ?? `${metricName} of ${component}`

/** How the values of several processes become one; a gauge that is not in the table is summed. */
export const acrossWorkersOf = (component: string, metricName: string): AcrossWorkers =>
  gaugesAcrossWorkers.get(`${component}.${metricName}`) ?? 'sum'

/**
 * Creates the metrics of a cluster with the value 0. If a counter appeared only with its first event, an alert on its
 * rate would miss this event.
 * @param operations the names of all operations of the Router
 */
export function startAtZero(metrics: MetricsLogger, operations: readonly string[]): void {
  for (const tags of labelled('operation', operations)) metrics.count('router', 'timeouts_sent', tags, 0)
  for (const [name, , initial = []] of counted) {
    if (initial !== EACH_BROKER) for (const tags of initial) metrics.count(...partsOf(name), tags, 0)
  }
  for (const [name, , , startsAtZero] of gauges) if (startsAtZero) metrics.gauge(...partsOf(name), {}, 0)
}

/** Creates the counters of a newly discovered broker, with the value 0. */
export function startBrokerAtZero(metrics: MetricsLogger, tags: MetricTags): void {
  for (const [name, , initial] of counted) if (initial === EACH_BROKER) metrics.count(...partsOf(name), tags, 0)
}

const partsOf = (name: string): [component: string, metricName: string] => name.split('.') as [string, string]
