import {
  type Cell,
  counterFamily,
  type Durations,
  durationFamily,
  type Family,
  gaugeFamily
} from '../../core/metrics/family.js'
import { registerFamily } from '../../core/metrics/prometheus.js'
import { isLegalTopicName, type Logger, type RecordFailure, type RecordOutcome } from '../../core/model.js'
import type { ApiContext } from '../../http/api/api.js'
import { metricsRendering, type SharedRendering } from '../../http/exchange/shared-rendering.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { CLIENT_METRICS, registerClientMetrics } from './client-metrics.js'
import type { PushRecord } from './push-parse.js'
import { type ClientError, toClientError } from './record-errors.js'

/**
 * Topics that are counted by name. Clients choose the names, so their number is bounded; the rest is counted as
 * `other`.
 */
const MAX_TOPICS = 999
const OTHER = 'other'
/**
 * The series of a topic stay for this time after the topic is gone. Counts of lost and refused records stay as long as there are
 * places.
 */
const GONE_KEPT_MS = 5 * 60_000
/** How often Kafka is asked at most which of these topics are gone, and how long it may take. */
const LOOK_UP_INTERVAL_MS = 60_000
const LOOK_UP_MS = 10_000
const BUCKETS_MS = [5, 10, 20, 40, 80]

export interface TopicMetrics {
  readonly topic: string
  readonly sent: Cell
  readonly queued: Cell
  duration: Durations
  /** When Kafka was first seen to have it no more; infinite: it has it, as far as is known. */
  goneAt: number
  /** Failed records, by librdkafka's error number. Under overload every record fails, so this has to be cheap. */
  readonly errors: Map<number, Cell>
}

/** The version of kprf that is followed; reported in the metric that held kprf's own version. */
const FOLLOWED = { version: '0.2.4', commit_hash: 'fd32acc' }

/**
 * kprf's metrics under their own names, with the values they were meant to have. Counting adds to plain numbers; the
 * registry reads them when it is scraped.
 */
export class KprfMetrics {
  readonly #requests = durationFamily('http_requests_duration', 'Duration of pushes in milliseconds', BUCKETS_MS)
  readonly #queued = gaugeFamily('kafka_internal_queue_size', 'Records waiting to be delivered')
  readonly #sent = counterFamily('kafka_sent_messages', 'Records given to delivery')
  readonly #durations = durationFamily(
    'kafka_message_send_duration',
    'From push to outcome in milliseconds',
    BUCKETS_MS
  )
  readonly #errors = counterFamily('kafka_errors_count', 'Records that were not delivered')
  readonly #rateLimited = counterFamily('ratelimit_messages_count', 'Records refused by the rate limit')
  readonly #inQueue = gaugeFamily('kafka_producer_current_messages_in_queue', 'Records waiting to be delivered')
  readonly #delivered = counterFamily('kafka_producer_total_messages_sent', 'Records delivered')
  readonly #deliveredBytes = counterFamily(
    'kafka_producer_total_messages_bytes_sent',
    'Bytes of keys and values of records delivered'
  )
  readonly #byTopic = new Map<string, TopicMetrics>()
  readonly #syncByCode = new Map<number, Durations>()
  readonly #asyncByCode = new Map<number, Durations>()
  readonly queuedInAll: Cell
  readonly deliveredInAll: Cell
  readonly deliveredBytesInAll: Cell

  readonly #rendering: SharedRendering
  readonly #context: ApiContext<unknown>
  #lookUpAt = Number.NEGATIVE_INFINITY
  #tidyAt = Number.NEGATIVE_INFINITY

  constructor(context: ApiContext<unknown>) {
    const { metrics } = context
    const { registry } = metrics
    this.#context = context
    const metadata = gaugeFamily('kprf_app_metadata', 'The version of kprf whose API is spoken')
    const queued = {
      name: this.#queued.name,
      get: () => {
        this.#tidyAfterScrape()
        return this.#queued.get()
      }
    }
    const families = [this.#requests, queued, this.#sent, this.#durations, this.#errors, this.#rateLimited]
    const ofClient = [this.#inQueue, this.#delivered, this.#deliveredBytes, metadata]
    for (const family of [...families, ...ofClient]) registerFamily(registry, family)
    registerClientMetrics(metrics)
    const names = [...[...families, ...ofClient].map(({ name }) => name), ...CLIENT_METRICS]
    this.#rendering = metricsRendering(registry, () => names, '\n')
    metadata.series(FOLLOWED)
    this.queuedInAll = this.#inQueue.series({})
    this.deliveredInAll = this.#delivered.series({})
    this.deliveredBytesInAll = this.#deliveredBytes.series({})
  }

  /** kprf's metrics alone, as its own port for metrics shows them. */
  text(): Promise<Buffer> {
    return this.#rendering.get()
  }

  topic(name: string): TopicMetrics {
    return this.#byTopic.get(name) ?? this.#addTopic(name)
  }

  #addTopic(name: string): TopicMetrics {
    // Only legal names become labels, because a NUL in a name would break the text format.
    const isFull = this.#byTopic.size - Number(this.#byTopic.has(OTHER)) >= MAX_TOPICS
    if (isFull) this.#forgetGone()
    const topic = !isFull && isLegalTopicName(name) ? name : OTHER
    const known = this.#byTopic.get(topic)
    if (known) return known
    const tags = { topic }
    const added = {
      topic,
      sent: this.#sent.series(tags),
      queued: this.#queued.series(tags),
      duration: this.#durations.series(tags),
      goneAt: Number.POSITIVE_INFINITY,
      errors: new Map<number, Cell>()
    }
    this.#byTopic.set(topic, added)
    return added
  }

  #tidyAfterScrape(): void {
    const nowMs = this.#context.clock()
    if (nowMs < this.#tidyAt) return
    this.#tidyAt = nowMs + LOOK_UP_INTERVAL_MS
    void this.#tidy(nowMs)
  }

  /** Takes away the series of topics that have been gone for a while. */
  async #tidy(nowMs: number): Promise<void> {
    for (const topic of await this.#gone()) {
      topic.goneAt = Math.min(topic.goneAt, nowMs)
      if (nowMs - topic.goneAt >= GONE_KEPT_MS) this.#forget(topic)
    }
  }

  /** Takes away the series of topics that Kafka no longer has, since others need their places. */
  #forgetGone(): void {
    const { clock } = this.#context
    if (clock() < this.#lookUpAt) return
    this.#lookUpAt = clock() + LOOK_UP_INTERVAL_MS
    void this.#gone().then(topics => topics.forEach(topic => this.#forget(topic)))
  }

  /** Topics that Kafka no longer has; none while it does not answer. */
  async #gone(): Promise<readonly TopicMetrics[]> {
    const names = [...this.#byTopic.keys()].filter(name => name !== OTHER)
    if (names.length === 0) return []
    const found = await this.#context.verbs.topics(names, LOOK_UP_MS).catch(() => undefined)
    const gone: TopicMetrics[] = []
    for (const { topic, errorCode } of found?.values() ?? []) {
      const known = this.#byTopic.get(topic)
      if (known === undefined) continue
      if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) gone.push(known)
      else known.goneAt = Number.POSITIVE_INFINITY
    }
    return gone
  }

  #forget(known: TopicMetrics): void {
    const { topic, queued } = known
    // Another look-up, which was answered at the same time, may have found the same.
    if (this.#byTopic.get(topic) !== known) return
    // Records of the topic are still to be counted when their outcome is known.
    if (queued.value > 0) return
    this.#byTopic.delete(topic)
    for (const family of [this.#sent, this.#queued, this.#durations]) family.remove({ topic })
    this.#nameDurations()
  }

  /** Gives free places for durations, of which there are fewer, to topics that had none. */
  #nameDurations(): void {
    for (const one of this.#byTopic.values()) {
      if (this.#durations.isFull) return
      if (!this.#durations.has({ topic: one.topic })) one.duration = this.#durations.series({ topic: one.topic })
    }
  }

  /** Removes counts of deleted topics when present ones need the places. */
  #freePlaces(): void {
    for (const family of [this.#rateLimited, this.#errors])
      for (const tags of family.tags)
        if (tags['topic'] !== OTHER && !this.#byTopic.has(tags['topic']!)) family.remove(tags)
  }

  failed(name: string, { number }: ClientError): void {
    const { topic, errors } = this.topic(name)
    let cell = errors.get(number)
    if (!cell) {
      const tags = { topic, error_code: String(number) }
      if (this.#errors.isFull && !this.#errors.has(tags)) this.#freePlaces()
      errors.set(number, (cell = this.#errors.series(tags)))
    }
    cell.value++
  }

  rateLimited(name: string): void {
    const { topic } = this.topic(name)
    if (this.#rateLimited.isFull && !this.#rateLimited.has({ topic })) this.#freePlaces()
    addOne(this.#rateLimited, { topic })
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

/** Failures are logged once a second: while Kafka is away every record fails, and the log must not be flooded. */
const LOG_INTERVAL_MS = 1_000

/**
 * The topics of a request's records: one value if all records have the same topic, otherwise one per record. It references
 * no record, because the bytes of records are reused.
 */
type RecordTopics = TopicMetrics | readonly TopicMetrics[]

/** The sizes (key and value) of a request's records: one number for a single record, otherwise one per record. */
type RecordSizes = number | readonly number[]

export const sizesOf = (records: readonly PushRecord[]): RecordSizes =>
  records.length === 1 ? sizeOf(records[0]!) : records.map(sizeOf)

const sizeOf = ({ key, value }: PushRecord): number => value.length + (key === null ? 0 : key.length)
const sumOf = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0)

/** Counts records when they are produced and when their outcome is known. */
export class RecordCounts {
  readonly #metrics: KprfMetrics
  readonly #log: Logger
  #loggedAt = Number.NEGATIVE_INFINITY
  #unlogged = 0
  #last: { readonly topic: string; readonly error: string; readonly cause: string } | undefined

  constructor(metrics: KprfMetrics, log: Logger) {
    this.#metrics = metrics
    this.#log = log
  }

  /** Must be called before the records are produced. */
  begin(records: readonly PushRecord[]): RecordTopics {
    const first = records[0]!.topic
    const topics = records.every(({ topic }) => topic === first)
      ? this.#metrics.topic(first)
      : records.map(({ topic }) => this.#metrics.topic(topic))
    count(topics, records.length, 1)
    this.#metrics.queuedInAll.value += records.length
    return topics
  }

  /**
   * @param sizes bytes of key and value of each record
   * @param outcomes of each record; `undefined`: all were delivered
   */
  end(
    topics: RecordTopics,
    sizes: RecordSizes,
    outcomes: readonly RecordOutcome[] | undefined,
    startedAt: number,
    now: number
  ): void {
    const records = typeof sizes === 'number' ? 1 : sizes.length
    this.#metrics.queuedInAll.value -= records
    count(topics, records, -1)
    if (outcomes === undefined) {
      if (isOne(topics)) topics.duration.observe(now - startedAt, records)
      else for (const { duration } of topics) duration.observe(now - startedAt)
      this.#metrics.deliveredInAll.value += records
      this.#metrics.deliveredBytesInAll.value += typeof sizes === 'number' ? sizes : sumOf(sizes)
      return
    }
    for (let i = 0; i < outcomes.length; i++) {
      const outcome = outcomes[i]!
      const topic = isOne(topics) ? topics : topics[i]!
      topic.duration.observe(now - startedAt)
      // The durable log has the record, and brings it to Kafka.
      if (outcome.type === 'failed' && outcome.persisted === 'pending') continue
      if (outcome.type === 'failed') this.#failed(topic.topic, outcome)
      else {
        this.#metrics.deliveredInAll.value++
        this.#metrics.deliveredBytesInAll.value += typeof sizes === 'number' ? sizes : sizes[i]!
      }
    }
    this.#tell(now)
  }

  #failed(topic: string, failure: RecordFailure): void {
    const error = toClientError(failure)
    this.#metrics.failed(topic, error)
    this.#unlogged++
    this.#last = { topic, error: error.text, cause: failure.message }
  }

  /** Logs failures once all records of a push are counted, so that the number is complete. */
  #tell(now: number): void {
    if (this.#unlogged === 0 || now - this.#loggedAt < LOG_INTERVAL_MS) return
    this.#log.warn({ records: this.#unlogged, ...this.#last }, 'records failed')
    this.#loggedAt = now
    this.#unlogged = 0
  }
}

const isOne = (topics: RecordTopics): topics is TopicMetrics => !Array.isArray(topics)

function count(topics: RecordTopics, recordCount: number, direction: 1 | -1): void {
  if (isOne(topics)) {
    if (direction > 0) topics.sent.value += recordCount
    topics.queued.value += direction * recordCount
  } else for (const topic of topics) count(topic, 1, direction)
}
