import type { ErrorCode } from '../../core/errors.js'
import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import type { Durability, Gateway, PendingProduce, ProduceOptions, ProduceOrigin } from '../../gateway/gateway.js'
import { type Certainty, certaintyOf, persistedText } from '../../gateway/persisted.js'
import { placesOf } from '../../gateway/produce-origin.js'
import { firstFailureOf } from '../../http/exchange/answers.js'
import type { Known } from '../../http/exchange/modern-answers.js'
import { type KprfMetrics, type RecordCounts, sizesOf } from './kprf-metrics.js'
import type { PushRecord, PushRequest } from './push-parse.js'
import type { Limits } from './rate-limits.js'
import { failureOf, messageTooLarge, RATE_LIMITED, toClientError, toMessage } from './record-errors.js'
import type { KprfSettings } from './settings.js'

/** The outcome of a push. */
export interface PushResult {
  /** `undefined`: no record failed. Otherwise one error text per record, `undefined` for records without an error. */
  readonly errors: readonly (string | undefined)[] | undefined
  /** Why the first of the records failed. */
  readonly code?: ErrorCode | undefined
  /** The value of the header that says whether the records are in Kafka's log. */
  readonly persisted: string
  /** Present: records were beyond a limit, so the answer is 429. */
  readonly retryAfterSeconds?: number
}

/** The name under which lost records of this API are counted. */
const API = 'kprf'
const allDelivered: PushResult = { errors: undefined, persisted: persistedText(['yes']) }
const allPending: PushResult = { errors: undefined, persisted: persistedText(['pending']) }

/** Time limits, and what happens to records that cannot be accepted at once. */
export interface PushOptions {
  readonly messageTimeoutMs: number
  readonly asyncTimeoutMs: number
  readonly whenFull: 'refuse' | 'drop'
  /** Where asynchronous records are kept until Kafka has them. */
  readonly durability: Durability
  readonly ratelimit: Pick<KprfSettings['ratelimit'], 'answer'>
  /** How long records in memory wait for capacity. */
  readonly capacityWaitMs: number
}

/** Passes the records of a push to the gateway, all of them before any outcome is awaited. */
export class Push {
  readonly #gateway: Gateway
  readonly #limits: RecordLimits
  readonly #counts: RecordCounts
  readonly #whenFull: PushOptions['whenFull']
  readonly #tellsLimits: boolean
  readonly #sync: ProduceOptions
  readonly #async: ProduceOptions
  readonly #clock: () => number

  constructor(
    gateway: Gateway,
    limits: RecordLimits,
    counts: RecordCounts,
    { messageTimeoutMs, asyncTimeoutMs, whenFull, durability, ratelimit, capacityWaitMs }: PushOptions,
    clock: () => number
  ) {
    this.#gateway = gateway
    this.#limits = limits
    this.#counts = counts
    this.#whenFull = whenFull
    this.#tellsLimits = ratelimit.answer === 'tooManyRequests'
    this.#sync = { partitioner: 'crc32', deadlineMs: messageTimeoutMs, capacityWaitMs }
    // The log keeps records until Kafka has them: they have no deadline, and no request waits for it.
    this.#async =
      durability === 'disk'
        ? { partitioner: 'crc32', deadlineMs: 0, durability }
        : { partitioner: 'crc32', deadlineMs: asyncTimeoutMs, capacityWaitMs, answeredBy: API }
    this.#clock = clock
  }

  /**
   * Answers without waiting for Kafka; waits only while a buffer is full, and for the durable log where that is
   * configured. Reports records that were refused because a buffer was full and, where configured, records beyond a
   * limit.
   */
  enqueue({ records }: PushRequest, origin: ProduceOrigin, limits?: Limits): PushResult | Promise<PushResult> {
    const checked = this.#limits.check(records, limits)
    const count = checked.records.length
    if (count === 0) return this.#enqueued(checked, undefined)
    const { pendingProduce, settled } = this.#produce(checked, this.#async, origin)
    if (pendingProduce.whenSettled === undefined) void outcomesOf(pendingProduce).then(settled)
    else pendingProduce.whenSettled(settled)
    if (this.#async.durability !== 'disk' && pendingProduce.isWaiting !== true)
      return this.#enqueued(checked, pendingProduce.refused)
    return pendingProduce.accepted().then(refused => this.#enqueued({ ...checked, records: new Array(count) }, refused))
  }

  #enqueued(checked: LimitCheck, refused: PendingProduce['refused']): PushResult {
    const { records, refusals } = checked
    if (refusals === undefined && refused === undefined && records.length > 0) return allPending
    const certainties = Array.from(records, (_, at): Certainty => refused?.[at]?.persisted ?? 'pending')
    const persisted = persistedText(inRequestOrder(refusals, certainties, () => 'no'))
    const isFullTold = this.#whenFull === 'refuse' && refused?.some(isFull)
    const retryAfterSeconds = this.#tellsLimits ? checked.retryAfterSeconds : undefined
    if (!isFullTold && retryAfterSeconds === undefined) return { errors: undefined, persisted }
    const texts = Array.from(records, (_, at) => textOfFull(refused?.[at]))
    const errors = inRequestOrder(refusals, texts, refusal => (retryAfterSeconds === undefined ? undefined : refusal))
    const code = refused?.find(isFull)?.code
    return { errors, persisted, code, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) }
  }

  /**
   * Answers when the outcome of every record is known, or at the deadline. Until then the records themselves are not
   * referenced: views of each waiting body would burden the garbage collector.
   */
  deliver({ records }: PushRequest, origin: ProduceOrigin, limits?: Limits): Promise<PushResult> {
    const checked = this.#limits.check(records, limits)
    const { refusals } = checked
    const retryAfterSeconds = this.#tellsLimits ? checked.retryAfterSeconds : undefined
    const result = (outcomes: readonly RecordOutcome[]): PushResult => ({
      ...toResult(refusals, outcomes),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds })
    })
    if (checked.records.length === 0) return Promise.resolve(result([]))
    const { pendingProduce, settled } = this.#produce(checked, this.#sync, origin)
    const ended = outcomesOf(pendingProduce).then(settled)
    if (refusals !== undefined) return ended.then(() => pendingProduce.outcomes()).then(result)
    return ended.then(outcomes => (outcomes === undefined ? allDelivered : result(outcomes)))
  }

  /** The outcome of each record of a synchronous push; for an asynchronous push, whether it was accepted. */
  async each({ records, waitForSend }: PushRequest, origin: ProduceOrigin, limits?: Limits): Promise<readonly Known[]> {
    const checked = this.#limits.check(records, limits)
    const { records: allowed, refusals } = checked
    if (allowed.length === 0) return inRequestOrder<Known>(refusals, [], failureOf)
    const { pendingProduce, settled } = this.#produce(checked, waitForSend ? this.#sync : this.#async, origin)
    const ended = outcomesOf(pendingProduce).then(settled)
    const known = waitForSend
      ? await ended.then(() => pendingProduce.outcomes())
      : await acceptedOf(pendingProduce, allowed.length)
    return inRequestOrder<Known>(refusals, known, failureOf)
  }

  /** `settled` counts the outcomes, and is to be called once with them; `undefined`: all records were delivered. */
  #produce(
    { records, refusals }: LimitCheck,
    options: ProduceOptions,
    origin: ProduceOrigin
  ): { pendingProduce: PendingProduce; settled: (outcomes: UnlessDelivered) => UnlessDelivered } {
    const startedAt = this.#clock()
    const topics = this.#counts.begin(records)
    const sizes = sizesOf(records)
    if (refusals !== undefined) origin.places = placesOf(refusals.length, index => refusals[index] !== undefined)
    const pendingProduce = this.#gateway.produce(records, options, origin)
    const settled = (outcomes: UnlessDelivered): UnlessDelivered => {
      this.#counts.end(topics, sizes, outcomes, startedAt, this.#clock())
      return outcomes
    }
    return { pendingProduce, settled }
  }
}

/** `undefined`: all records were delivered. */
type UnlessDelivered = readonly RecordOutcome[] | undefined

const outcomesOf = (pendingProduce: PendingProduce): Promise<UnlessDelivered> =>
  pendingProduce.unlessDelivered?.() ?? pendingProduce.outcomes()

const isDelivered = ({ type }: RecordOutcome): boolean => type === 'delivered'

const isFull = (failure: RecordFailure | undefined): failure is RecordFailure =>
  failure?.code === 'overloaded' || failure?.code === 'logUnavailable' || failure?.code === 'shuttingDown'

async function acceptedOf(pendingProduce: PendingProduce, records: number): Promise<readonly Known[]> {
  const refused = await pendingProduce.accepted()
  return Array.from({ length: records }, (_, at): Known => refused?.[at] ?? 'pending')
}

const textOfFull = (failure: RecordFailure | undefined): string | undefined =>
  isFull(failure) ? toMessage(toClientError(failure)) : undefined

const toText = (outcome: RecordOutcome): string | undefined =>
  outcome.type === 'failed' ? toMessage(toClientError(outcome)) : undefined

function toResult(refusals: LimitCheck['refusals'], outcomes: readonly RecordOutcome[]): PushResult {
  if (refusals === undefined && outcomes.every(isDelivered)) return allDelivered
  return {
    errors: inRequestOrder(refusals, outcomes.map(toText), refusal => refusal),
    persisted: persistedText(inRequestOrder(refusals, outcomes.map(certaintyOf), () => 'no')),
    code: firstFailureOf(outcomes)?.code
  }
}

/** Merges the errors of accepted records with those of records that were refused before. */
function inRequestOrder<Said>(
  refusals: LimitCheck['refusals'],
  said: readonly Said[],
  ofRefusal: (refusal: string) => Said
): readonly Said[] {
  if (refusals === undefined) return said
  let next = 0
  return refusals.map(refusal => (refusal === undefined ? said[next++]! : ofRefusal(refusal)))
}

/**
 * librdkafka counts this many bytes of its own towards `message.max.bytes`. Measured on kprf: 1,048,540 of 1,048,576.
 */
const OVERHEAD_BYTES = 36

const TOO_LARGE = toMessage(messageTooLarge)

/** Which records are within the limits, and the errors of the others. */
interface LimitCheck {
  readonly records: readonly PushRecord[]
  /**
   * `undefined`: all records are within the limits. Otherwise one entry per record of the request, `undefined` for
   * those within the limits.
   */
  readonly refusals: readonly (string | undefined)[] | undefined
  /** Seconds until records of every topic would be within its limit again; absent when no topic is beyond its limit. */
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
