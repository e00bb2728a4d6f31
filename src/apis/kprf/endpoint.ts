import { type CastellanError, ForbiddenError, OverloadedError } from '../../core/errors.js'
import { DeserializeError } from '../../core/json/json-reader.js'
import type { Logger } from '../../core/model.js'
import { persistedText } from '../../gateway/persisted.js'
import type { Access } from '../../http/access/access.js'
import { refusalHeaders, refusalStatus } from '../../http/access/refusals.js'
import type { Answers, AnswerTemplate } from '../../http/exchange/answers.js'
import { collectBody } from '../../http/exchange/body-collector.js'
import { BufferPool } from '../../http/exchange/buffer-pool.js'
import { isJsonContentType } from '../../http/exchange/content-type.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { noteFailure } from '../../http/exchange/failure-codes.js'
import { wantsModern } from '../../http/exchange/modern-answers.js'
import { unreadBodyHeaders } from '../../http/exchange/unread-body.js'
import type { KprfMetrics } from './kprf-metrics.js'
import type { LimitTurns } from './limit-turns.js'
import type { Push, PushResult } from './push.js'
import { parsePush, TooManyRecordsError } from './push-parse.js'
import type { PushRequest } from './push-request.js'
import { scanPush } from './push-scan.js'
import type { Limits } from './rate-limiter.js'
import { purged, refusalOf } from './record-errors.js'
import type { KprfSettings } from './settings.js'
import { noLimits } from './shared-limits.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024

const JSON_TYPE = 'application/json'
/** The response body of a push without any failed record. */
const OK_BODY = '{"status":"ok","errors":[]}'
const TEXT_TYPE = 'text/plain; charset=utf-8'
/** The rest of a refused body is not read: the connection closes with the answer. */
const CLOSE = { connection: 'close' }
/** The certainty for a request that was refused before any record was produced. */
const NOT_PERSISTED = persistedText(['no'])

/** A request whose body is not read. */
type Refused = Pick<Exchange, 'response' | 'requestId'>

/** `POST /push`: reads the body, pushes, answers. It writes to Node's response; Fastify has let go of it. */
export class PushEndpoint {
  readonly #push: Push
  readonly #access: Access
  readonly #answers: Answers
  readonly #ok: AnswerTemplate
  readonly #metrics: KprfMetrics
  readonly #log: Logger
  readonly #clock: () => number
  readonly #maxBodyBytes: number
  readonly #maxRecords: number
  readonly #failureStart: string
  readonly #pool = new BufferPool(POOL_BYTES)
  readonly #turns: LimitTurns | undefined

  /** @param maxBodyBytes the limit of the server, which may be the smaller one */
  constructor(
    settings: KprfSettings,
    maxBodyBytes: number,
    parts: {
      push: Push
      access: Access
      answers: Answers
      metrics: KprfMetrics
      log: Logger
      clock: () => number
      /** Absent: the limits of this process are those of all. */
      turns?: LimitTurns | undefined
    }
  ) {
    this.#turns = parts.turns
    this.#push = parts.push
    this.#access = parts.access
    this.#answers = parts.answers
    this.#ok = parts.answers.template(200, JSON_TYPE)
    this.#metrics = parts.metrics
    this.#log = parts.log
    this.#clock = parts.clock
    this.#maxBodyBytes = Math.min(settings.maxBodyBytes, maxBodyBytes)
    this.#maxRecords = settings.maxRecordsPerRequest
    this.#failureStart = `{"status":"${settings.failureWord}","errors":[`
  }

  receive(exchange: Exchange): void {
    const { request, payload } = exchange
    if (!isJsonContentType(request.headers['content-type'])) {
      this.#text(exchange, 415, "The request's content-type is not supported")
      return
    }
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, this.#maxBodyBytes, this.#pool, body => {
      if (body instanceof Error) this.#unread(exchange, body)
      else if (body === 'tooLarge') {
        // A body whose announced length is too large is not read.
        if (declaredBytes <= this.#maxBodyBytes) this.#chargeUnusable(exchange, this.#maxBodyBytes)
        this.#tooLarge(exchange)
      } else this.#answer(exchange, body)
    })
  }

  /** Refuses a request before reading it, with a reason of {@link refusalStatus}. */
  refuse(exchange: Refused, error: CastellanError): void {
    // The topics are not known yet, so the whole request is forbidden, and the text gives the reason.
    const text = error instanceof ForbiddenError ? JSON.stringify(error.message).slice(1, -1) : refusalOf(error.code)
    this.#refused(exchange, error, [text], unreadBodyHeaders(exchange.response, error))
  }

  /** A client that has disconnected gets no answer. */
  #unread(exchange: Exchange, error: Error): void {
    if (error instanceof OverloadedError) this.refuse(exchange, error)
  }

  #answer(exchange: Exchange, body: Buffer): void {
    try {
      const push = scanPush(body, this.#maxRecords) ?? parsePush(body, this.#maxRecords)
      if (this.#isRefused(exchange, push, body.length)) return
      if (this.#turns === undefined) this.#serve(exchange, push)
      else this.#serveInTurn(this.#turns, exchange, push, body)
    } catch (error) {
      if (error instanceof DeserializeError) {
        this.#chargeUnusable(exchange, body.length)
        this.#text(exchange, 400, `Request body deserialize error: ${error.message}`)
      } else if (error instanceof TooManyRecordsError) {
        this.#chargeUnusable(exchange, body.length)
        this.#tooLarge(exchange)
      } else this.#broken(exchange, error)
    }
  }

  #serve(exchange: Exchange, push: PushRequest, limits?: Limits): void {
    if (wantsModern(exchange.request)) this.#answerEach(exchange, push, limits)
    else if (push.waitForSend) this.#answerDelivered(exchange, push, limits)
    else this.#answerEnqueued(exchange, push, limits)
  }

  /** Asks first whether the records may pass, where that is decided for several processes. */
  #serveInTurn(turns: LimitTurns, exchange: Exchange, push: PushRequest, body: Buffer): void {
    const turn = turns.take(exchange.request.socket, push.records)
    if (turn === undefined) {
      this.#serve(exchange, push, noLimits)
      return
    }
    // The bytes of the body are valid until this returns.
    const kept = Buffer.from(body)
    turn(
      limits => this.#serve(exchange, scanPush(kept, this.#maxRecords) ?? parsePush(kept, this.#maxRecords), limits),
      error => {
        if (error instanceof OverloadedError) this.refuse(exchange, error)
        else this.#broken(exchange, error)
      }
    )
  }

  /** The topics are in the body, so permission to write to them can only be checked now. */
  #isRefused(exchange: Exchange, { records }: PushRequest, bodyBytes: number): boolean {
    const caller = this.#access.callerOf(exchange.request)
    const error = caller.charge(records.length, bodyBytes) ?? caller.refusalOfTopics('produce', records)
    if (error === undefined) return false
    const text = refusalOf(error.code)
    const texts =
      error instanceof ForbiddenError
        ? records.map(({ topic }) => (caller.allows('produce', { topic }) ? purged : text))
        : records.map(() => text)
    this.#refused(exchange, error, texts)
    return true
  }

  /** A body that cannot be parsed was sent and read all the same, and is charged to the quota. */
  #chargeUnusable({ request }: Exchange, bodyBytes: number): void {
    this.#access.callerOf(request).charge(0, bodyBytes)
  }

  #answerEnqueued(exchange: Exchange, push: PushRequest, limits?: Limits): void {
    const startedAt = this.#clock()
    const result = this.#push.enqueue(push, limits)
    if (!(result instanceof Promise)) this.#result(exchange, result, false, startedAt)
    else {
      result.then(
        logged => this.#result(exchange, logged, false, startedAt),
        (error: unknown) => this.#broken(exchange, error)
      )
    }
  }

  #answerDelivered(exchange: Exchange, push: PushRequest, limits?: Limits): void {
    const startedAt = this.#clock()
    this.#push.deliver(push, limits).then(
      result => this.#result(exchange, result, true, startedAt),
      (error: unknown) => this.#broken(exchange, error)
    )
  }

  /** One entry per record, in the form that all APIs have in common. */
  #answerEach(exchange: Exchange, push: PushRequest, limits?: Limits): void {
    const startedAt = this.#clock()
    const { waitForSend } = push
    this.#push.each(push, limits).then(
      known => {
        const hasFailed = known.some(one => one !== 'pending' && one.type === 'failed')
        this.#metrics.answered(hasFailed ? 500 : 200, waitForSend, this.#clock() - startedAt)
        this.#answers.outcomes(exchange, known)
      },
      (error: unknown) => this.#broken(exchange, error)
    )
  }

  #result({ response, requestId }: Exchange, result: PushResult, isSync: boolean, startedAt: number): void {
    const { errors, persisted, retryAfterSeconds } = result
    const headers = { requestId, persisted }
    const status = errors === undefined ? 200 : retryAfterSeconds === undefined ? 500 : 429
    this.#metrics.answered(status, isSync, this.#clock() - startedAt)
    if (response.destroyed) return
    const retryAfter = retryAfterSeconds === undefined ? undefined : { 'retry-after': String(retryAfterSeconds) }
    if (errors !== undefined) {
      noteFailure(response, result.code)
      this.#answers.send(response, status, JSON_TYPE, this.#failures(errors), headers, retryAfter)
    }
    // Outcomes arrive in bulk and are answered one after another in any case.
    else if (isSync) this.#ok.send(response, headers, OK_BODY)
    else this.#ok.sendSoon(response, headers, OK_BODY)
  }

  #refused(
    { response, requestId }: Refused,
    error: CastellanError,
    texts: readonly string[],
    headers?: Record<string, string>
  ): void {
    const answer = { requestId, persisted: NOT_PERSISTED, cause: error }
    const all = { ...headers, ...refusalHeaders(error) }
    this.#answers.send(response, refusalStatus(error)!, JSON_TYPE, this.#failures(texts), answer, all)
  }

  #failures(texts: readonly (string | undefined)[]): string {
    // The texts are constants that need no escaping.
    const entries = texts.map(text =>
      text === undefined ? '{"error":false,"message":null}' : `{"error":true,"message":"${text}"}`
    )
    return `${this.#failureStart}${entries.join(',')}]}`
  }

  #tooLarge(exchange: Exchange): void {
    this.#text(exchange, 413, 'The request payload is too large', CLOSE)
  }

  #text({ response, requestId }: Exchange, status: number, text: string, headers?: Record<string, string>): void {
    this.#answers.send(response, status, TEXT_TYPE, text, { requestId, persisted: NOT_PERSISTED }, headers)
  }

  /** After a bug the records may already have been produced. */
  #broken({ response, requestId }: Exchange, error: unknown): void {
    this.#log.error({ requestId, err: error }, 'a push failed unexpectedly')
    this.#answers.send(response, 500, TEXT_TYPE, '', { requestId, persisted: persistedText(['unknown']) })
  }
}
