import type { ErrorCode } from '../../core/errors.js'
import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import type { Durability, Gateway, PendingProduce, ProduceOptions } from '../../gateway/gateway.js'
import { type Certainty, certaintyOf, persistedText } from '../../gateway/persisted.js'
import { firstFailureOf } from '../../http/exchange/answers.js'
import type { Known } from '../../http/exchange/modern-answers.js'
import type { PushRecord, PushRequest } from './push-request.js'
import type { Limits } from './rate-limiter.js'
import { failureOf, toClientError, toMessage } from './record-errors.js'
import type { LimitCheck, RecordLimits } from './record-limits.js'
import { type Following, sizesOf } from './record-outcomes.js'
import type { KprfSettings } from './settings.js'

/** The outcome of a push. */
export interface PushResult {
  /** `undefined`: no record failed. Otherwise one text per record, `undefined` for records without an error. */
  readonly errors: readonly (string | undefined)[] | undefined
  /** Why the first of the records failed. */
  readonly code?: ErrorCode | undefined
  /** The value of the header that says whether the records are in Kafka's log. */
  readonly persisted: string
  /** Present: records were beyond a limit, which is to be answered 429. */
  readonly retryAfterSeconds?: number
}

/** Counts records that are lost. */
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
  /** How long records in memory wait for room. */
  readonly capacityWaitMs: number
}

/** Passes the records of a push to the gateway, all of them before any outcome is awaited. */
export class Push {
  readonly #gateway: Gateway
  readonly #limits: RecordLimits
  readonly #following: Following
  readonly #whenFull: PushOptions['whenFull']
  readonly #tellsLimits: boolean
  readonly #sync: ProduceOptions
  readonly #async: ProduceOptions
  readonly #clock: () => number

  constructor(
    gateway: Gateway,
    limits: RecordLimits,
    following: Following,
    { messageTimeoutMs, asyncTimeoutMs, whenFull, durability, ratelimit, capacityWaitMs }: PushOptions,
    clock: () => number
  ) {
    this.#gateway = gateway
    this.#limits = limits
    this.#following = following
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
   * Answers without waiting for Kafka, but for room, and for the durable log where that is configured. Reports records
   * that found no room, and those beyond a limit where limits are reported.
   */
  enqueue({ records }: PushRequest, limits?: Limits): PushResult | Promise<PushResult> {
    const checked = this.#limits.check(records, limits)
    const count = checked.records.length
    if (count === 0) return this.#enqueued(checked, undefined)
    const { pendingProduce } = this.#produce(checked.records, this.#async)
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
  deliver({ records }: PushRequest, limits?: Limits): Promise<PushResult> {
    const checked = this.#limits.check(records, limits)
    const { refusals } = checked
    const retryAfterSeconds = this.#tellsLimits ? checked.retryAfterSeconds : undefined
    const result = (outcomes: readonly RecordOutcome[]): PushResult => ({
      ...toResult(refusals, outcomes),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds })
    })
    if (checked.records.length === 0) return Promise.resolve(result([]))
    return this.#produce(checked.records, this.#sync).outcomes.then(result)
  }

  /** What is known of each record: of a synchronous push its outcome, otherwise whether it was accepted. */
  async each({ records, waitForSend }: PushRequest, limits?: Limits): Promise<readonly Known[]> {
    const { records: allowed, refusals } = this.#limits.check(records, limits)
    if (allowed.length === 0) return inRequestOrder<Known>(refusals, [], failureOf)
    const { pendingProduce, outcomes } = this.#produce(allowed, waitForSend ? this.#sync : this.#async)
    const known = waitForSend ? await outcomes : await acceptedOf(pendingProduce, allowed.length)
    return inRequestOrder<Known>(refusals, known, failureOf)
  }

  #produce(
    records: readonly PushRecord[],
    options: ProduceOptions
  ): { pendingProduce: PendingProduce; outcomes: Promise<readonly RecordOutcome[]> } {
    const startedAt = this.#clock()
    const topics = this.#following.begin(records)
    const sizes = sizesOf(records)
    const pendingProduce = this.#gateway.produce(records, options)
    const outcomes = pendingProduce.outcomes().then(all => {
      this.#following.end(topics, sizes, all, startedAt, this.#clock())
      return all
    })
    return { pendingProduce, outcomes }
  }
}

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
