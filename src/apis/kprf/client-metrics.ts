import {
  type PrometheusMetrics,
  type PrometheusReading,
  registerScrapedCounter,
  registerScrapedGauge
} from '../../core/metrics/prometheus.js'

interface Value {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  /** Only in series of histograms. */
  readonly metricName?: string
}

const BUFFERED = 'castellan_delivery_buffered_bytes'
const CALLS = 'castellan_kafka_dispatcher_calls_total'
const ANSWERED = 'castellan_kafka_dispatcher_call_seconds'
const QUEUED = 'castellan_kafka_dispatcher_queue_depth'
const FAILED = 'castellan_kafka_dispatcher_failed_calls_total'
const TIMED_OUT = 'castellan_kafka_dispatcher_timed_out_calls_total'

/**
 * A metric of librdkafka, and Castellan's own metric from which it is read at each scrape; of a histogram the count is read.
 * Without `broker` it is the sum of all values.
 */
type ClientMetric = readonly [name: string, type: 'counter' | 'gauge', source: string, help: string, by?: 'broker']

/** The values are those of all APIs of the process. Metrics are gauges where librdkafka has a current value. */
const metrics: readonly ClientMetric[] = [
  ['kafka_producer_current_messages_in_queue_bytes', 'gauge', BUFFERED, 'Bytes of records waiting to be delivered'],
  ['kafka_producer_total_requests_count', 'counter', CALLS, 'Produce calls sent'],
  ['kafka_producer_total_responses_received', 'counter', ANSWERED, 'Answers to produce calls'],
  ['kafka_producer_broker_outbuf_count', 'gauge', QUEUED, 'Requests waiting to be sent to a broker', 'broker'],
  ['kafka_producer_broker_requests_sent', 'counter', CALLS, 'Produce calls sent to a broker', 'broker'],
  ['kafka_producer_broker_responses_count', 'counter', ANSWERED, 'Answers of a broker to produce calls', 'broker'],
  ['kafka_producer_broker_errors_count', 'counter', FAILED, 'Produce calls to a broker that failed', 'broker'],
  [
    'kafka_producer_request_timeouts',
    'counter',
    TIMED_OUT,
    'Produce calls that a broker did not answer in time',
    'broker'
  ]
]

/** The names of metrics that librdkafka has and that have a counterpart among Castellan's own. */
export const CLIENT_METRICS: readonly string[] = metrics.map(([name]) => name)

export function registerClientMetrics({ registry }: PrometheusMetrics): void {
  const read = ([, , source, , by]: ClientMetric): PrometheusReading[] => {
    const metric = registry.getSingleMetric(source) as OwnMetric | undefined
    const values = (metric?.get().values ?? []).filter(isOfProducing)
    if (by === 'broker') return values.map(toReading)
    return [{ labels: {}, value: values.reduce((sum, { value }) => sum + value, 0) }]
  }
  for (const metric of metrics) {
    const [name, type, , help] = metric
    if (type === 'counter') registerScrapedCounter(registry, name, help, () => read(metric))
    else registerScrapedGauge(registry, name, help, () => read(metric))
  }
}

/** Calls are counted by dispatcher; a producer has no other ones. */
const isOfProducing = ({ labels: { dispatcher }, metricName = '_count' }: Value): boolean =>
  (dispatcher === undefined || dispatcher === 'produce') && metricName.endsWith('_count')

/** A metric of Castellan's own, which is read without a promise. */
type OwnMetric = { get(): { values: readonly Value[] } } & NonNullable<
  ReturnType<PrometheusMetrics['registry']['getSingleMetric']>
>

/** librdkafka names brokers `HOST:PORT/ID`. */
const toReading = ({ labels, value }: Value): PrometheusReading => ({
  labels: { broker: `${labels.broker_host}:${labels.broker_port}/${labels.broker_id}` },
  value
})
