import { type Cell, counterFamily, type Family, gaugeFamily } from '../../metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../metrics/prometheus.js'
import { isLegalTopicName } from '../../model.js'
import { type MillisecondHistogram, millisecondFamily } from './millisecond-histogram.js'
import type { ClientError } from './record-errors.js'

/** Topics that are counted by name; clients choose the names, so there must be an end. The rest is counted as `other`. */
const MAX_TOPICS = 1_000

/** What is counted of one topic. */
export interface TopicMetrics {
  readonly topic: string
  readonly sent: Cell
  readonly queued: Cell
  readonly duration: MillisecondHistogram
  /** By librdkafka's number of the error; under overload every record has one. */
  readonly errors: Map<number, Cell>
}

/** The version whose behaviour is followed, in the metric that named kprf's own. */
const FOLLOWED = { version: '0.2.4', commit_hash: 'fd32acc' }

/**
 * kprf's metrics by their names, with the values they were meant to have. Counting is adding to plain numbers; the
 * registry asks for them when it is scraped.
 */
export class KprfMetrics {
  readonly #requests = millisecondFamily('http_requests_duration', 'Duration of pushes in milliseconds')
  readonly #queued = gaugeFamily('kafka_internal_queue_size', 'Records waiting to be delivered')
  readonly #sent = counterFamily('kafka_sent_messages', 'Records given to delivery')
  readonly #durations = millisecondFamily('kafka_message_send_duration', 'From push to outcome in milliseconds')
  readonly #errors = counterFamily('kafka_errors_count', 'Records that were not delivered')
  readonly #rateLimited = counterFamily('ratelimit_messages_count', 'Records refused by the rate limit')
  readonly #inQueue = gaugeFamily('kafka_producer_current_messages_in_queue', 'Records waiting to be delivered')
  readonly #delivered = counterFamily('kafka_producer_total_messages_sent', 'Records delivered')
  readonly #byTopic = new Map<string, TopicMetrics>()
  readonly #byRequest = new Map<string, MillisecondHistogram>()
  readonly queuedInAll: Cell
  readonly deliveredInAll: Cell

  constructor({ registry }: PrometheusMetrics) {
    const metadata = gaugeFamily('kprf_app_metadata', 'The version of kprf whose API is spoken')
    for (const family of [this.#queued, this.#sent, this.#errors, this.#rateLimited, this.#inQueue, this.#delivered]) {
      registerFamily(registry, family)
    }
    registerFamily(registry, this.#requests)
    registerFamily(registry, this.#durations)
    registerFamily(registry, metadata)
    metadata.series(FOLLOWED)
    this.queuedInAll = this.#inQueue.series({})
    this.deliveredInAll = this.#delivered.series({})
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
  answered(code: 200 | 500, isSync: boolean, durationMs: number): void {
    const key = isSync ? (code === 200 ? 'sync200' : 'sync500') : code === 200 ? 'async200' : 'async500'
    let series = this.#byRequest.get(key)
    if (series === undefined) {
      series = this.#requests.series({ code: String(code), method: isSync ? 'push/sync' : 'push/async' })
      this.#byRequest.set(key, series)
    }
    series.observe(durationMs)
  }
}

const addOne = (family: Family<Cell>, tags: Record<string, string>): void => {
  family.series(tags).value++
}
