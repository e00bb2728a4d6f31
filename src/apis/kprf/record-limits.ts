import type { KprfMetrics } from './kprf-metrics.js'
import type { PushRecord } from './push-request.js'
import type { Limits } from './rate-limiter.js'
import { messageTooLarge, RATE_LIMITED, toMessage } from './record-errors.js'

/**
 * librdkafka counts this many bytes of its own towards `message.max.bytes`. Measured on kprf: 1,048,540 of 1,048,576.
 */
const OVERHEAD_BYTES = 36

const TOO_LARGE = toMessage(messageTooLarge)

/** Which records are within the limits, and the errors of the others. */
export interface LimitCheck {
  readonly records: readonly PushRecord[]
  /** `undefined`: all are. Otherwise one entry per record of the request, `undefined` for those within the limits. */
  readonly refusals: readonly (string | undefined)[] | undefined
  /** When all topics of records beyond a limit have room again; absent: there are none. */
  readonly retryAfterSeconds?: number
}

/** Refuses what kprf refuses before its queue: records beyond a rate limit, and records that are too large. */
export class RecordLimits {
  readonly #maxBytes: number
  readonly #limiter: Limits
  readonly #metrics: KprfMetrics
  readonly #now: () => number

  constructor(messageMaxBytes: number, limiter: Limits, metrics: KprfMetrics, now: () => number) {
    this.#maxBytes = messageMaxBytes - OVERHEAD_BYTES
    this.#limiter = limiter
    this.#metrics = metrics
    this.#now = now
  }

  /** @param limiter what has been decided about these records already; absent: they are counted here */
  check(records: readonly PushRecord[], limiter = this.#limiter): LimitCheck {
    if (!limiter.isActive && !records.some(record => this.#isTooLarge(record))) {
      return { records, refusals: undefined }
    }
    const refusals = records.map(record => this.#refusalOf(record, limiter))
    if (refusals.every(refusal => refusal === undefined)) return { records, refusals: undefined }
    const limited = new Set(records.filter((_, i) => refusals[i] === RATE_LIMITED).map(({ topic }) => topic))
    return {
      records: records.filter((_, i) => refusals[i] === undefined),
      refusals,
      ...(limited.size > 0 && { retryAfterSeconds: this.#retryAfterSeconds(limited, limiter) })
    }
  }

  #retryAfterSeconds(topics: ReadonlySet<string>, limiter: Limits): number {
    return Math.max(...[...topics].map(topic => limiter.retryAfterSeconds(topic, this.#now())))
  }

  #refusalOf(record: PushRecord, limiter: Limits): string | undefined {
    if (!limiter.allows(record.topic, this.#now())) {
      this.#metrics.rateLimited(record.topic)
      return RATE_LIMITED
    }
    if (!this.#isTooLarge(record)) return undefined
    this.#metrics.topic(record.topic).sent.value++
    this.#metrics.failed(record.topic, messageTooLarge)
    return TOO_LARGE
  }

  #isTooLarge({ key, value }: PushRecord): boolean {
    return value.length + (key === null ? 0 : key.length) > this.#maxBytes
  }
}
