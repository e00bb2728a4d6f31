import { type Cell, counterFamily, type Family, gaugeFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily, wholeRegistry } from '../../core/metrics/prometheus.js'
import { isLegalTopicName } from '../../core/model.js'
import { CLIENT_METRICS, registerClientMetrics } from './client-metrics.js'
import { type MillisecondHistogram, millisecondFamily } from './millisecond-histogram.js'
import type { ClientError } from './record-errors.js'

/**
 * Topics that are counted by name. Clients choose the names, so their number is bounded; the rest is counted as
 * `other`.
 */
const MAX_TOPICS = 1_000

/** The counters of one topic. */
export interface TopicMetrics {
  readonly topic: string
  readonly sent: Cell
  readonly queued: Cell
  readonly duration: MillisecondHistogram
  /** Counted by librdkafka's number of the error; under overload every record has one. */
  readonly errors: Map<number, Cell>
}

/** The version of kprf that is followed; reported in the metric that held kprf's own version. */
const FOLLOWED = { version: '0.2.4', commit_hash: 'fd32acc' }

/**
 * kprf's metrics under their own names, with the values they were meant to have. Counting adds to plain numbers; the
 * registry reads them when it is scraped.
 */
export class KprfMetrics {
  readonly #requests = millisecondFamily('http_requests_duration', 'Duration of pushes in milliseconds')
  readonly #queued = gaugeFamily('kafka_internal_queue_size', 'Records waiting to be delivered', 'sum')
  readonly #sent = counterFamily('kafka_sent_messages', 'Records given to delivery')
  readonly #durations = millisecondFamily('kafka_message_send_duration', 'From push to outcome in milliseconds')
  readonly #errors = counterFamily('kafka_errors_count', 'Records that were not delivered')
  readonly #rateLimited = counterFamily('ratelimit_messages_count', 'Records refused by the rate limit')
  readonly #inQueue = gaugeFamily('kafka_producer_current_messages_in_queue', 'Records waiting to be delivered', 'sum')
  readonly #delivered = counterFamily('kafka_producer_total_messages_sent', 'Records delivered')
  readonly #deliveredBytes = counterFamily(
    'kafka_producer_total_messages_bytes_sent',
    'Bytes of keys and values of records delivered'
  )
  readonly #byTopic = new Map<string, TopicMetrics>()
  readonly #syncByCode = new Map<number, MillisecondHistogram>()
  readonly #asyncByCode = new Map<number, MillisecondHistogram>()
  readonly queuedInAll: Cell
  readonly deliveredInAll: Cell
  readonly deliveredBytesInAll: Cell

  readonly #names: readonly string[]
  readonly #metrics: PrometheusMetrics

  constructor(metrics: PrometheusMetrics) {
    const { registry } = metrics
    this.#metrics = metrics
    const metadata = gaugeFamily('kprf_app_metadata', 'The version of kprf whose API is spoken', 'first')
    const families = [this.#requests, this.#queued, this.#sent, this.#durations, this.#errors, this.#rateLimited]
    const ofClient = [this.#inQueue, this.#delivered, this.#deliveredBytes, metadata]
    for (const family of [...families, ...ofClient]) registerFamily(registry, family)
    registerClientMetrics(metrics)
    this.#names = [...[...families, ...ofClient].map(({ name }) => name), ...CLIENT_METRICS]
    metadata.series(FOLLOWED)
    this.queuedInAll = this.#inQueue.series({})
    this.deliveredInAll = this.#delivered.series({})
    this.deliveredBytesInAll = this.#deliveredBytes.series({})
  }

  /** kprf's metrics alone, as its own port for metrics shows them. */
  async text(): Promise<string> {
    const registry = await wholeRegistry(this.#metrics)
    const there = this.#names.filter(name => registry.getSingleMetric(name) !== undefined)
    const texts = await Promise.all(there.map(name => registry.getSingleMetricAsString(name)))
    return `${texts.join('\n')}\n`
  }

  topic(name: string): TopicMetrics {
    return this.#byTopic.get(name) ?? this.#addTopic(name)
  }

  #addTopic(name: string): TopicMetrics {
    // Only legal names become labels: a NUL in a name would break the text format.
    const isNamed = this.#byTopic.size < MAX_TOPICS && isLegalTopicName(name)
    const topic = isNamed ? name : 'other'
    const known = this.#byTopic.get(topic)
    if (known) return known
    const tags = { topic }
    const added = {
      topic,
      sent: this.#sent.series(tags),
      queued: this.#queued.series(tags),
      duration: this.#durations.series(tags),
      errors: new Map<number, Cell>()
    }
    this.#byTopic.set(topic, added)
    return added
  }

  failed(name: string, { number }: ClientError): void {
    const { topic, errors } = this.topic(name)
    let cell = errors.get(number)
    if (!cell) errors.set(number, (cell = this.#errors.series({ topic, error_code: String(number) })))
    cell.value++
  }

  rateLimited(topic: string): void {
    addOne(this.#rateLimited, { topic: this.topic(topic).topic })
  }

  /** @param code as sent; kprf counts parsable pushes only */
  answered(code: 200 | 429 | 500, isSync: boolean, durationMs: number): void {
    const byCode = isSync ? this.#syncByCode : this.#asyncByCode
    let series = byCode.get(code)
    if (series === undefined) {
      series = this.#requests.series({ code: String(code), method: isSync ? 'push/sync' : 'push/async' })
      byCode.set(code, series)
    }
    series.observe(durationMs)
  }
}

const addOne = (family: Family<Cell>, tags: Record<string, string>): void => {
  family.series(tags).value++
}
