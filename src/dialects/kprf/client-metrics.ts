import type { PrometheusMetrics } from '../../metrics/prometheus.js'
import { type Reading, registerScrapedGauge } from '../../metrics/scraped-gauge.js'

interface Value {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** Metrics of librdkafka that have a counterpart among Castellan's own, which is read when they are scraped. */
export const CLIENT_METRICS = [
  'kafka_producer_current_messages_in_queue_bytes',
  'kafka_producer_broker_outbuf_count'
] as const

/** Registers {@link CLIENT_METRICS}: gauges, as their sources are. They are about all APIs of the process. */
export function registerClientMetrics({ registry }: PrometheusMetrics): void {
  const read = (name: string): readonly Value[] => {
    const metric = registry.getSingleMetric(name) as unknown as { get(): { values: readonly Value[] } } | undefined
    return metric?.get().values ?? []
  }
  const [queueBytes, outbuf] = CLIENT_METRICS
  registerScrapedGauge(registry, queueBytes, 'Bytes of records waiting to be delivered', () => [
    { labels: {}, value: read('castellan_delivery_buffered_bytes').reduce((sum, { value }) => sum + value, 0) }
  ])
  registerScrapedGauge(registry, outbuf, 'Requests waiting to be sent to a broker', () =>
    read('castellan_kafka_dispatcher_lane_queue_depth')
      .filter(({ labels }) => labels.dispatcher === 'produce')
      .map(toReading)
  )
}

/** librdkafka names brokers `HOST:PORT/ID`. */
const toReading = ({ labels, value }: Value): Reading => ({
  labels: { broker: `${labels.broker_host}:${labels.broker_port}/${labels.broker_id}` },
  value
})
