import type { KprfMetrics } from './kprf-metrics.js'
import type { PushRecord } from './push-request.js'
import type { RateLimiter } from './rate-limiter.js'
import { messageTooLarge, RATE_LIMITED, toMessage } from './record-errors.js'

/** librdkafka counts so many bytes of its own towards `message.max.bytes`. Measured on kprf: 1,048,540 of 1,048,576. */
const OVERHEAD_BYTES = 36

const TOO_LARGE = toMessage(messageTooLarge)

/** Which records go on, and what the others are told. */
export interface Admission {
  readonly records: readonly PushRecord[]
  /** `undefined`: all go on. Else one entry per record of the request, `undefined` for those that do. */
  readonly refusals: readonly (string | undefined)[] | undefined
}

/** Sorts out what kprf refuses before its queue: records beyond a rate limit, and those that are too large. */
export class Admissions {
  readonly #maxBytes: number
  readonly #limiter: RateLimiter
  readonly #metrics: KprfMetrics
  readonly #now: () => number

  constructor(messageMaxBytes: number, limiter: RateLimiter, metrics: KprfMetrics, now: () => number) {
    this.#maxBytes = messageMaxBytes - OVERHEAD_BYTES
    this.#limiter = limiter
    this.#metrics = metrics
    this.#now = now
  }

  admit(records: readonly PushRecord[]): Admission {
    if (!this.#limiter.isActive && !records.some(record => this.#isTooLarge(record))) {
      return { records, refusals: undefined }
    }
    const refusals = records.map(record => this.#refusalOf(record))
    if (refusals.every(refusal => refusal === undefined)) return { records, refusals: undefined }
    return { records: records.filter((_, i) => refusals[i] === undefined), refusals }
  }

  #refusalOf(record: PushRecord): string | undefined {
    if (!this.#limiter.allows(record.topic, this.#now())) {
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
