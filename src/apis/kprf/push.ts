import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, ForbiddenError, StacklessError, UnreadableBodyError } from '../../core/errors.js'
import { DeserializeError } from '../../core/json/json-reader.js'
import { type InPieces, joined } from '../../core/loop-turns.js'
import type { RecordFailure } from '../../core/model.js'
import { recordRefusal } from '../../core/refusals.js'
import { refusalStatus } from '../../http/access/access.js'
import { type ApiContext, ASYNC_TIMEOUT_MS, capacityWaitMsOf, MAX_RECORDS_OF_BODY } from '../../http/api/api.js'
import type { Outcomes, ProduceAnswer, ProduceApi, ProduceHead, RefusedRequest } from '../../http/api/produce-route.js'
import { AnswerTemplate, WARNING_HEADER } from '../../http/exchange/answers.js'
import { BodyTooLargeError } from '../../http/exchange/decoded-body.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { JSON_TYPE, type OutcomeSoFar, whenSettled } from '../../http/exchange/modern-answers.js'
import { LINES_TYPE } from '../../http/openapi/operation.js'
import type { PendingProduce, ProduceOptions } from '../../verbs/verbs.js'
import { type KprfMetrics, RecordCounts, sizesOf } from './kprf-metrics.js'
import { type PushRecord, parseLines, parsePush, scanPush, TooManyRecordsError } from './push-parse.js'
import { RateLimiter } from './rate-limits.js'
import { failureText, messageTooLarge, purged, rateLimited, recordRefusalOf } from './record-errors.js'
import type { KprfSettings } from './settings.js'

/**
 * librdkafka counts this many bytes of its own towards `message.max.bytes`. Measured on kprf: 1,048,540 of 1,048,576.
 */
const OVERHEAD_BYTES = 36

/** The response body of a push without any failed record. */
const OK_BODY = '{"status":"ok","errors":[]}'
const TEXT_TYPE = 'text/plain; charset=utf-8'

// Token characters of a media type; a suffix begins at the last plus sign, so it holds none.
const T = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
const SUFFIX = `\\+${T.replace('+', '')}*`
// The character after an opening quote is never the closing one: `a=""` is refused.
const QUOTED = '"[ -~][ !#-~]*" *'
const COUNTS_AS_JSON = new RegExp(
  `^application/json(?:${SUFFIX})?(?:;(?: *${T}+=(?:${T}+|${QUOTED});)*(?: *| *${T}+=(?:${T}*|${QUOTED})))?$`,
  'i'
)

/**
 * Whether a body of this type counts as JSON: none is fine, else it must parse and be `application/json`. A suffix as
 * in `application/json+x` and any parameters are fine, `application/x+json` is not, nor is an empty header.
 *
 * This is the rule of kprf and its web framework. Source: warp 0.3.1 src/filters/body.rs (is_content_type), mime 0.3.16
 * src/parse.rs.
 */
export const isJsonContentType = (header: string | undefined): boolean =>
  header === undefined || header === JSON_TYPE || COUNTS_AS_JSON.test(header)

/** Records that follow each other, one a line. kprf had only `application/json`. */
const IS_LINES = new RegExp(`^${LINES_TYPE}[ \\t]*(?:;|$)`, 'i')

const UNSUPPORTED = new StacklessError("The request's content-type is not supported")

/** Advice for users who do not know which type `curl -d` sends by itself. The body of the answer is kprf's. */
const WRONG_TYPE = { [WARNING_HEADER]: 'send the body with the header content-type: application/json' }

interface PushHead extends ProduceHead {
  startedAt: number
  /** The body is a record a line. */
  readonly isLines: boolean
  /** Seconds until records of every topic would be within its limit again; absent when no topic is beyond its limit. */
  retryAfterSeconds: number | undefined
}

/** `POST /push`. */
export class PushApi implements ProduceApi<PushHead> {
  readonly name = 'kprf'
  readonly namesOffsets = false
  readonly readsInTurns = true
  readonly options: { readonly sync: ProduceOptions; readonly async: ProduceOptions }
  readonly #context: ApiContext<KprfSettings>
  readonly #metrics: KprfMetrics
  readonly #counts: RecordCounts
  readonly #limiter: RateLimiter
  readonly #ok: ProduceAnswer
  /** The body has librdkafka's name for it, which blames the broker: the header says whose limit it is. */
  readonly #recordTooLarge: RecordFailure

  constructor(context: ApiContext<KprfSettings>, metrics: KprfMetrics) {
    const { settings, log } = context
    const { messageTimeoutMs, durability, ratelimit, messageMaxBytes } = settings
    const capacityWaitMs = capacityWaitMsOf(context)
    this.#context = context
    this.#metrics = metrics
    this.#counts = new RecordCounts(metrics, log)
    this.#limiter = new RateLimiter(ratelimit)
    const most = `key and value of a record may have ${messageMaxBytes - OVERHEAD_BYTES} bytes (apis.kprf.messageMaxBytes)`
    this.#recordTooLarge = recordRefusal('recordTooLarge', most, false)
    this.#ok = { status: 200, body: OK_BODY, template: new AnswerTemplate(200, JSON_TYPE) }
    const partitioner = 'crc32'
    // The log keeps records until Kafka has them: they have no deadline, and no request waits for it.
    const async: ProduceOptions =
      durability === 'disk'
        ? { partitioner, deadlineMs: 0, durability }
        : { partitioner, deadlineMs: ASYNC_TIMEOUT_MS, capacityWaitMs, answeredBy: this.name }
    this.options = { sync: { partitioner, deadlineMs: messageTimeoutMs, capacityWaitMs }, async }
  }

  readHead({ request }: Exchange): PushHead {
    const type = request.headers['content-type']
    const isLines = type !== undefined && IS_LINES.test(type)
    if (!isLines && !isJsonContentType(type)) throw UNSUPPORTED
    return { isSync: false, isLines, refusals: undefined, startedAt: 0, retryAfterSeconds: undefined }
  }

  scan(body: Buffer, head: PushHead, maxRecords: number): readonly PushRecord[] | undefined {
    const read = head.isLines ? undefined : scanPush(body, maxRecords)
    head.isSync = read?.waitForSend === true
    return read?.records
  }

  *readBody(body: Buffer, head: PushHead, inTurns: boolean): InPieces<readonly PushRecord[]> {
    const parse = head.isLines ? parseLines : parsePush
    const { records, waitForSend } = yield* parse(body, MAX_RECORDS_OF_BODY, inTurns)
    head.isSync = waitForSend
    return records
  }

  /** Refuses what kprf refuses before its queue: records beyond a rate limit, and records that are too large. */
  limit(records: readonly PushRecord[], head: PushHead): readonly PushRecord[] {
    const { clock, settings } = this.#context
    head.startedAt = clock()
    if (!this.#limiter.isActive && !records.some(record => this.#isTooLarge(record))) return records
    const refusals = records.map(record => this.#refusalOf(record, head.startedAt))
    if (refusals.every(refusal => refusal === undefined)) return records
    head.refusals = refusals
    if (settings.ratelimit.answer === 'tooManyRequests' && refusals.includes(rateLimited)) {
      const topics = new Set(records.filter((_, at) => refusals[at] === rateLimited).map(({ topic }) => topic))
      const waits = Array.from(topics, topic => this.#limiter.retryAfterSeconds(topic, head.startedAt))
      head.retryAfterSeconds = Math.max(...waits)
    }
    return records.filter((_, at) => refusals[at] === undefined)
  }

  #refusalOf(record: PushRecord, nowMs: number): RecordFailure | undefined {
    const { topic } = record
    if (!this.#limiter.allows(topic, nowMs)) {
      this.#metrics.rateLimited(topic)
      return rateLimited
    }
    if (!this.#isTooLarge(record)) return undefined
    this.#metrics.topic(topic).sent.value++
    this.#metrics.failed(topic, messageTooLarge)
    return this.#recordTooLarge
  }

  #isTooLarge({ key, value }: PushRecord): boolean {
    return value.length + (key?.length ?? 0) > this.#context.settings.messageMaxBytes - OVERHEAD_BYTES
  }

  produced(records: readonly PushRecord[], pending: PendingProduce, { startedAt }: PushHead): void {
    const topics = this.#counts.begin(records)
    const sizes = sizesOf(records)
    const { clock } = this.#context
    whenSettled(pending, outcomes => this.#counts.end(topics, sizes, outcomes, startedAt, clock()))
  }

  answer(outcomes: Outcomes, head: PushHead): ProduceAnswer | InPieces<ProduceAnswer> {
    return typeof outcomes === 'string' ? this.#answered(this.#ok, head) : this.#answerTo(outcomes, head)
  }

  *#answerTo(outcomes: readonly OutcomeSoFar[], head: PushHead): InPieces<ProduceAnswer> {
    if (!this.#tells(outcomes, head)) return this.#answered(this.#ok, head)
    const body = yield* joined(this.#start, this.#textsOf(outcomes, head), entryOf, END)
    return this.#answered(this.#failed(body, outcomes, head), head)
  }

  #answered(answer: ProduceAnswer, { isSync, startedAt }: PushHead): ProduceAnswer {
    this.#metrics.answered(answer.status as 200, isSync, this.#context.clock() - startedAt)
    return answer
  }

  /** An asynchronous push hears only of a full buffer and of records beyond a limit, and of each only if it is configured so. */
  #tells(known: readonly OutcomeSoFar[], { isSync, retryAfterSeconds }: PushHead): boolean {
    if (isSync) return known.some(isFailed)
    return retryAfterSeconds !== undefined || (this.#context.settings.whenFull === 'refuse' && known.some(isFull))
  }

  #textsOf(
    known: readonly OutcomeSoFar[],
    { isSync, refusals, retryAfterSeconds }: PushHead
  ): readonly (string | undefined)[] {
    const isTold = (failure: RecordFailure, at: number): boolean =>
      isSync || isFull(failure) || (retryAfterSeconds !== undefined && refusals?.[at] !== undefined)
    return known.map((one, at) => (isFailed(one) && isTold(one, at) ? failureText(one) : undefined))
  }

  /** A shipper sends its lines again after 500, for ever and all of them, and drops them after 400. */
  #failed(
    body: string | Buffer,
    known: readonly OutcomeSoFar[],
    { isLines, retryAfterSeconds }: PushHead
  ): ProduceAnswer {
    const isFinal = isLines && !known.some(one => isFailed(one) && one.retriable)
    return {
      status: retryAfterSeconds !== undefined ? 429 : isFinal ? 400 : 500,
      type: JSON_TYPE,
      body,
      headers: retryAfterSeconds === undefined ? undefined : { 'retry-after': String(retryAfterSeconds) }
    }
  }

  refuse(error: unknown, { exchange, records }: RefusedRequest): ProduceAnswer | undefined {
    if (error === UNSUPPORTED)
      return { status: 415, type: TEXT_TYPE, body: UNSUPPORTED.message, headers: WRONG_TYPE, closes: false }
    if (error instanceof BodyTooLargeError || error instanceof TooManyRecordsError)
      return { status: 413, type: TEXT_TYPE, body: 'The request payload is too large', closes: true }
    if (error instanceof DeserializeError)
      return { status: 400, type: TEXT_TYPE, body: `Request body deserialize error: ${error.message}` }
    const status = refusalStatus(error)
    if (status === undefined || !(error instanceof CastellanError)) return undefined
    if (error instanceof UnreadableBodyError) return { status, type: TEXT_TYPE, body: error.message }
    const text = recordRefusalOf(errorCodeOf(error))
    const isForbidden = error instanceof ForbiddenError
    // If the topics are not known yet, the whole request is forbidden, and the text gives the reason.
    if (records === undefined)
      return { status, type: JSON_TYPE, body: this.#bodyOf([isForbidden ? escaped(error.message) : text]) }
    const caller = this.#context.access.callerOf(exchange.response.req)
    const texts = records.map(({ topic }) => (isForbidden && caller.allows('produce', { topic }) ? purged : text))
    return { status, type: JSON_TYPE, body: this.#bodyOf(texts) }
  }

  broken(): ProduceAnswer {
    return { status: 500, type: TEXT_TYPE, body: '' }
  }

  get #start(): string {
    return `{"status":"${this.#context.settings.failureWord}","errors":[`
  }

  /** @param texts need no escaping */
  #bodyOf(texts: readonly (string | undefined)[]): string {
    return this.#start + texts.map(entryOf).join(',') + END
  }
}

const END = ']}'

const entryOf = (text: string | undefined): string =>
  text === undefined ? '{"error":false,"message":null}' : `{"error":true,"message":"${text}"}`

const escaped = (text: string): string => JSON.stringify(text).slice(1, -1)

const isFailed = (one: OutcomeSoFar): one is RecordFailure => one !== 'pending' && one.type === 'failed'

/** Whether it is told as a full buffer: also when the process shuts down, or the durable log cannot be used. */
const isFull = (one: OutcomeSoFar): boolean =>
  isFailed(one) && (one.code === 'overloaded' || one.code === 'logUnavailable' || one.code === 'shuttingDown')
