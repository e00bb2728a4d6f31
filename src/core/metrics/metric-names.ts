import type { MetricsLogger, MetricTags } from './metrics-logger.js'

/** The meanings of metrics by `component.metric_name`. */
type Meanings = Readonly<Record<string, string>>

/** Counters whose only series exists from the start. */
const countersFromZero: Meanings = {
  'router.metadata_refreshes': 'Metadata calls that were sent',
  'router.cluster_changes': 'How often another Kafka cluster answered at the same addresses',
  'router.cache_evictions': 'Batches that were evicted from the cache in favour of others',
  'groups.unexpected_failures': 'Bugs met by a consumer group',
  'groups.offered_messages': 'Messages given to clients; one given twice counts twice',
  'groups.retried_messages': 'Messages given again because they were not acknowledged in time',
  'groups.given_up_messages': 'Messages that were given as often as allowed; they count as acknowledged',
  'groups.skipped_batches': 'Damaged batches that groups have skipped',
  'groups.truncated_logs': 'How often a log lost its end, and a group continued where the logs diverge',
  'groups.failed_commits': 'Commits of groups that Kafka refused for good',
  'groups.exclusions': 'How often a group excluded this member, so that it had to join again',
  'queues.acquired_messages': 'Messages that clients have acquired; one acquired twice counts twice',
  'queues.redelivered_messages': 'Messages that a client has acquired, and that Kafka had given out before',
  'queues.archived_messages':
    'Messages that Kafka has archived at their last delivery, as far as is known: no client has accepted or rejected them. The log names each',
  'delivery.delivered_records': 'Records that were written to Kafka',
  'delivery.failed_records': 'Accepted records that Kafka refused, or Castellan gave up',
  'delivery.withdrawn_records':
    'Records withdrawn unsent at the deadline of their request, or because the signal of their call was aborted',
  'delivery.refused_records':
    'Records that delivery did not accept: the buffer is full, the record is larger than delivery.maxRecordBytes, or the topic does not exist. Not those that an API refuses before: `castellan_refused_records_total` counts both. Records that Kafka refuses count as failed',
  'delivery.retried_batches': 'Batches that were sent again',
  'delivery.found_batches': 'Batches without an answer that were found in the log, and not sent again',
  'delivery.unchecked_batches': 'Batches that were sent again although they may be in the log; they may be there twice',
  'durable.accepted_records': 'Records that the durable log has accepted',
  'durable.delivered_records': 'Records from the durable log that were written to Kafka',
  'durable.refused_records':
    'Records that the durable log did not accept: it is full or has failed, or the record is larger than delivery.maxRecordBytes. Not those that an API refuses before',
  'durable.dead_lettered_records': 'Records that became dead letters because Kafka refused them for good',
  'durable.retried_batches': 'Batches of records from the durable log that were sent again'
}

/** Counters with a series for each broker, from its discovery on. */
const countersOfBrokers: Meanings = {
  'kafka_dispatcher.fetches': 'Fetch calls that were sent',
  'kafka_dispatcher.bytes_fetched': 'Bytes of fetch responses',
  'kafka_dispatcher.batched_requests': 'Requests that were answered from a fetch response',
  'kafka_dispatcher.avoided_fetches': 'Queued requests that were answered from the fetch response for another one',
  'kafka_dispatcher.cache_hits': 'Requests answered from the cache',
  'kafka_dispatcher.invalid_messages': 'Partitions in fetch responses whose records were damaged',
  'kafka_dispatcher.unknown_topic_or_partition_responses': 'Partitions in responses that the broker did not know'
}

/** Counters with labels, and durations. A series exists from its first event on, unless {@link firstLabels} has it. */
const counters: Meanings = {
  'router.unexpected_failures': 'Bugs met by the Router',
  'router.retries': 'Requests that were routed again',
  'http.idempotent_requests': 'Requests with the header `Idempotency-Key`, by what was done with them',
  'queues.settled_messages':
    'Words about messages (accept, release, reject, renew), by outcome: `done`, `lost`, `unknown`, `elsewhere`, `invalid`, `failed`',
  'router.request_latency': 'Time from a request to its answer',
  'router.timeouts_sent': 'Requests that were answered `timedOut`',
  'http.admission_wait': 'How long requests waited for free memory or disk before their bodies were read',
  'kafka_dispatcher.unexpected_failures': 'Bugs met by a dispatcher',
  'kafka_dispatcher.calls': 'Calls that were sent',
  'kafka_dispatcher.failed_calls': 'Calls without an answer that could be read',
  'kafka_dispatcher.timed_out_calls': 'Calls without an answer within their time limit; they count as failed, too',
  'kafka_dispatcher.call': 'Time from a call to the answer of the broker',
  'delivery.lost_records':
    'Accepted records that are not known to be in Kafka, and whose client had been answered before',
  'delivery.capacity_wait': 'How long accepted records waited until the producer of their partition had free capacity',
  'delivery.partition_wait': 'Time from the oldest record of a batch until the Router gets the batch',
  'groups.lent_messages':
    'Messages that were lent to clients of another gateway. `result`: `acknowledged` with the answer; `delivered`: to be acknowledged by the client; `returned`; `lost`: the other gateway did not say in time what became of them, or is gone',
  'peers.calls':
    'Calls to other gateways. `result`: `answered`; `failed`: by an error of the other gateway; `late`: not in time; `refused`: too many calls are in progress; `away`: the gateway is gone or does not answer',
  'peers.refused_requests':
    'Requests and connections that the listener for other gateways refused. `reason`: `address`, `token`',
  'wal.syncs': 'Syncs of the files of the durable log'
}

/** The labels of series that exist from the start. */
const firstLabels: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'router.unexpected_failures': { actor: ['router'] },
  'router.retries': {
    reason: ['unreachable', 'notLeader', 'notCoordinator', 'unknownTopicOrPartition', 'staleTopic', 'retryLater']
  },
  'queues.settled_messages': { outcome: ['done', 'lost', 'unknown', 'elsewhere', 'invalid', 'failed'] },
  'groups.lent_messages': { result: ['acknowledged', 'delivered', 'returned', 'lost'] },
  'http.idempotent_requests': { result: ['claimed', 'replayed', 'conflict', 'busy', 'full', 'invalid', 'away'] }
}

/** Gauges that exist from the start. The value of several processes is their sum. */
const sumsFromZero: Meanings = {
  'router.waiting_requests': 'Requests that wait for a leader, a coordinator or a broker',
  'router.cache_bytes': 'Memory held by fetched batches',
  'router.decompressed_bytes': 'Memory held by decompressed records',
  'groups.groups': 'Consumer groups that this process takes part in',
  'groups.instances': 'Consumer instances of this process',
  'groups.loans': 'Answers with messages that are lent to other gateways',
  'groups.wants': 'Topics and groups whose messages clients of another gateway wait for, once for each such gateway',
  'queues.queues': 'Topics and groups whose messages this process acquires',
  'queues.unserved_queues':
    'Topics and groups whose messages this process cannot acquire, for 30 s or because Kafka refuses it for good',
  'queues.held_messages': 'Messages that Kafka has locked for this process',
  'queues.waiting_acquires': 'Requests that wait for messages of queues',
  'delivery.buffered_records': 'Records that wait for Kafka',
  'delivery.buffered_bytes': 'Bytes of the records that wait for Kafka, bookkeeping included',
  'delivery.stuck_bytes':
    'Buffered bytes of partitions whose batch waits for more than 0.5 s, and of topics that are being looked up',
  'delivery.unknown_topics':
    'Topics that are looked up for records in memory, or remembered as missing; `castellan_cluster_unknown_topics` has those of the durable log',
  'delivery.partitions': 'Partitions that records are written to',
  'delivery.partitions_backing_off': 'Partitions that wait before their batch is sent again',
  'durable.topics':
    'Topics that have records in the durable log, or had some lately; of those that Kafka does not know at most 1,000',
  'durable.partitions': 'Partitions that records from the durable log are written to',
  'durable.partitions_backing_off': 'Partitions of the durable log that wait before their batch is sent again'
}

/** Further gauges whose value of several processes is their sum. */
const sums: Meanings = {
  'kafka_dispatcher.queue_depth': 'Requests that wait at a dispatcher of a broker',
  'delivery.buffer_limit_bytes': 'Limit of the bytes that may wait for Kafka: `delivery.maxBytes`',
  'peers.held_requests': 'Requests that are held until the owners of their keys can be tried',
  'wal.open_records': 'Records of the durable log that are not in Kafka yet',
  'wal.size_bytes': 'Bytes of the durable log on disk, without dead letters',
  'wal.limit_bytes': 'Limit of the bytes of the durable log on disk: `wal.maxBytes`',
  'wal.segments': 'Files of the durable log',
  'wal.dead_letters': 'Records that Kafka has refused for good; `castellan wal dead-letters` lists them',
  'wal.damaged_records': 'Damaged records that were found in the durable log',
  'wal.quarantined_segments': 'Files of the durable log that were moved aside: damaged or unreadable',
  'wal.outcome_bytes': 'Bytes on disk of what became of records of the durable log, for receipts',
  'wal.lost_outcomes': 'Records whose outcome could not be written; their receipts say `unknown`',
  'wal.damaged_files': 'Damaged files of receipts and keys of requests that were found',
  'wal.read_ahead_bytes': 'Memory held by records that were read from the durable log and wait for Kafka',
  'wal.read_ahead_limit_bytes': 'Limit of that memory: `advanced.wal.readAheadBytes`'
}

/** Gauges that exist from the start. The value of several processes is the highest one. */
const maximaFromZero: Meanings = {
  'http.idempotency_used_ratio':
    'Used share of `idempotency.maxBytes`, in memory or on disk, whichever is larger; as of the latest request with a key',
  'queues.oldest_held_age_seconds':
    'Longest time that a message is held; 0: none is. Its partition stops 2,000 offsets after it',
  'delivery.oldest_record_age_seconds': 'How long the oldest record that waits for Kafka has waited; 0: none waits',
  'durable.backlog_retention_ratio':
    'Longest wait of a record in the durable log, divided by `retention.ms` of its topic; the highest of all topics. Above 1, Kafka deletes the oldest records as soon as it has them. 0 with `wal.timestamps` `sent`'
}

/** Further gauges whose value of several processes is the highest one. */
const maxima: Meanings = {
  'peers.gateways': 'Other gateways that answer',
  'wal.oldest_record_age_seconds': 'How long the oldest record of the durable log has waited for Kafka; 0: none waits'
}

const minima: Meanings = {
  'wal.writable':
    '1 while the durable log accepts records; 0 while it is full, the disk fails, or its directory cannot be used'
}

/**
 * The metrics that rooms count: the HELP text of Prometheus, and the table of docs/metrics.md. Those that are read at a scrape have
 * theirs where they are registered.
 */
export const metricMeanings: ReadonlyMap<string, string> = new Map(
  [countersFromZero, countersOfBrokers, counters, sumsFromZero, sums, maximaFromZero, maxima, minima].flatMap(
    meanings => Object.entries(meanings)
  )
)

/** The description of a metric. The description of a metric that is not in the table is its name. */
export const helpFor = (component: string, metricName: string): string =>
  metricMeanings.get(`${component}.${metricName}`) ?? `${metricName} of ${component}`

/**
 * Creates the metrics of a cluster with the value 0. If a counter appeared only with its first event, an alert on its
 * rate would miss this event.
 * @param operations the names of all operations of the Router
 */
export function startAtZero(metrics: MetricsLogger, operations: readonly string[]): void {
  for (const operation of operations) metrics.count('router', 'timeouts_sent', { operation }, 0)
  for (const name of Object.keys(countersFromZero)) metrics.count(...partsOf(name), {}, 0)
  for (const [name, labels] of Object.entries(firstLabels)) {
    for (const [label, values] of Object.entries(labels)) {
      for (const value of values) metrics.count(...partsOf(name), { [label]: value }, 0)
    }
  }
  for (const name of Object.keys({ ...sumsFromZero, ...maximaFromZero })) metrics.gauge?.(...partsOf(name), {}, 0)
}

/** Creates the counters of a newly discovered broker, with the value 0. */
export function startBrokerAtZero(metrics: MetricsLogger, tags: MetricTags): void {
  for (const name of Object.keys(countersOfBrokers)) metrics.count(...partsOf(name), tags, 0)
}

const partsOf = (name: string): [component: string, metricName: string] => name.split('.') as [string, string]
