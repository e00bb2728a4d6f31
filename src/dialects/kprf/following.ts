import type { Logger } from '../../model.js'
import type { RecordFailure, RecordOutcome } from '../../operations.js'
import type { KprfMetrics, TopicMetrics } from './kprf-metrics.js'
import type { PushRecord } from './push-request.js'
import { toClientError } from './record-errors.js'

/** Failures are said once a second: when Kafka is away all records fail, and the log must not be the next victim. */
const LOG_INTERVAL_MS = 1_000

/** The topics of a request's records: one for all, or one each. Holds no record, since their bytes are not ours. */
export type RecordTopics = TopicMetrics | readonly TopicMetrics[]

/** Counts records when they set out and when their outcome is known. */
export class Following {
  readonly #metrics: KprfMetrics
  readonly #log: Logger
  #loggedAt = Number.NEGATIVE_INFINITY
  #unlogged = 0

  constructor(metrics: KprfMetrics, log: Logger) {
    this.#metrics = metrics
    this.#log = log
  }

  /** To be called before the records are produced. */
  begin(records: readonly PushRecord[]): RecordTopics {
    const first = records[0]!.topic
    const topics = records.every(({ topic }) => topic === first)
      ? this.#metrics.topic(first)
      : records.map(({ topic }) => this.#metrics.topic(topic))
    count(topics, records.length, 1)
    this.#metrics.queuedInAll.value += records.length
    return topics
  }

  end(topics: RecordTopics, outcomes: readonly RecordOutcome[], startedAt: number, now: number): void {
    this.#metrics.queuedInAll.value -= outcomes.length
    count(topics, outcomes.length, -1)
    for (let i = 0; i < outcomes.length; i++) {
      const outcome = outcomes[i]!
      const topic = isOne(topics) ? topics : topics[i]!
      topic.duration.observe(now - startedAt)
      if (outcome.type === 'failed') this.#failed(topic.topic, outcome, now)
      else this.#metrics.deliveredInAll.value++
    }
  }

  #failed(topic: string, failure: RecordFailure, now: number): void {
    const error = toClientError(failure)
    this.#metrics.failed(topic, error)
    this.#unlogged++
    if (now - this.#loggedAt < LOG_INTERVAL_MS) return
    this.#log.warn({ records: this.#unlogged, topic, error: error.text, cause: failure.message }, 'records failed')
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
