import type { Logger, RecordFailure, RecordOutcome } from '../../core/model.js'
import type { KprfMetrics, TopicMetrics } from './kprf-metrics.js'
import type { PushRecord } from './push-request.js'
import { toClientError } from './record-errors.js'

/** Failures are logged once a second: while Kafka is away every record fails, and the log must not be flooded. */
const LOG_INTERVAL_MS = 1_000

/** The topics of a request's records: one for all, or one for each. Holds no record, since their bytes are reused. */
export type RecordTopics = TopicMetrics | readonly TopicMetrics[]

/** Bytes of key and value: of the only record, or of each. Holds no record, as above. */
export type RecordSizes = number | Uint32Array

export function sizesOf(records: readonly PushRecord[]): RecordSizes {
  if (records.length === 1) return sizeOf(records[0]!)
  const sizes = new Uint32Array(records.length)
  for (let i = 0; i < sizes.length; i++) sizes[i] = sizeOf(records[i]!)
  return sizes
}

const sizeOf = ({ key, value }: PushRecord): number => value.length + (key === null ? 0 : key.length)

/** Counts records when they are produced and when their outcome is known. */
export class Following {
  readonly #metrics: KprfMetrics
  readonly #log: Logger
  #loggedAt = Number.NEGATIVE_INFINITY
  #unlogged = 0
  /** The last failure. */
  #last: { readonly topic: string; readonly error: string; readonly cause: string } | undefined

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

  /** @param sizes bytes of key and value of each record */
  end(
    topics: RecordTopics,
    sizes: RecordSizes,
    outcomes: readonly RecordOutcome[],
    startedAt: number,
    now: number
  ): void {
    this.#metrics.queuedInAll.value -= outcomes.length
    count(topics, outcomes.length, -1)
    for (let i = 0; i < outcomes.length; i++) {
      const outcome = outcomes[i]!
      const topic = isOne(topics) ? topics : topics[i]!
      topic.duration.observe(now - startedAt)
      // The durable log has it, and brings it to Kafka.
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

  /** After all records of a push, so that the number is theirs. */
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
