/**
 * A custom metrics logger: the Router reports to three functions, which must not wait.
 * The names are those of docs/metrics.md. For Prometheus there is PrometheusMetricsLogger.
 *
 * ```text
 * kafka_dispatcher.cache_hits: 2
 * kafka_dispatcher.fetches: 1
 * delivery.delivered_records: 3
 * requests answered: fetchData 3
 * ```
 */
import { askRouter, type MetricsLogger, openCastellan } from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

/** Sums counts by `component.metric`, and counts latencies by operation. */
class SummingMetricsLogger implements MetricsLogger {
  readonly counts = new Map<string, number>()
  readonly answered = new Map<string, number>()
  readonly gauges = new Map<string, number>()

  count(component: string, metricName: string, _tags = {}, value = 1): void {
    add(this.counts, `${component}.${metricName}`, value)
  }

  time(_component: string, _metricName: string, tags: Readonly<Record<string, string>>): void {
    add(this.answered, tags.operation ?? 'other', 1)
  }

  gauge(component: string, metricName: string, _tags: Readonly<Record<string, string>>, value: number): void {
    this.gauges.set(`${component}.${metricName}`, value)
  }
}

const add = (sums: Map<string, number>, name: string, value: number): void => {
  sums.set(name, (sums.get(name) ?? 0) + value)
}

const metrics = new SummingMetricsLogger()
const broker = await startEmbeddedCluster()
broker.createTopic('clicks', { partitions: 1 })
const castellan = await openCastellan({ brokers: broker.bootstrap, metrics })
const records = ['a', 'b', 'c'].map(value => ({ topic: 'clicks', value }))
await castellan.produceOrThrow(records)
for (const offset of [0, 0, 1]) {
  await askRouter(castellan.router.ref, {
    type: 'fetchData',
    topicPartition: { topic: 'clicks', partition: 0 },
    offset
  })
}
await castellan.close()
await broker.close()

for (const name of ['kafka_dispatcher.cache_hits', 'kafka_dispatcher.fetches', 'delivery.delivered_records']) {
  console.log(`${name}: ${metrics.counts.get(name)}`)
}
console.log(`requests answered: fetchData ${metrics.answered.get('fetchData')}`)
