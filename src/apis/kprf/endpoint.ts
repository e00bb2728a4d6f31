import type { preParsingHookHandler } from 'fastify'
import { type CastellanError, ForbiddenError, OverloadedError } from '../../core/errors.js'
import { DeserializeError } from '../../core/json/json-reader.js'
import type { Logger } from '../../core/model.js'
import { persistedText } from '../../gateway/persisted.js'
import { type Access, refusalHeaders, refusalStatus } from '../../http/access/access.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import {
  addPersistedHeader,
  answeredBefore,
  answerUnknown,
  byHand,
  type NamedRoute,
  refusedBy
} from '../../http/api/by-hand.js'
import { withKeys } from '../../http/api/idempotency.js'
import { originOf } from '../../http/api/request-origin.js'
import { addRoutes, type Route } from '../../http/api/routes.js'
import { Answers, type AnswerTemplate, noteFailure, unreadBodyHeaders } from '../../http/exchange/answers.js'
import { BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { wantsModern } from '../../http/exchange/modern-answers.js'
import { KprfMetrics, RecordCounts } from './kprf-metrics.js'
import { METRICS_PATH } from './metrics-listener.js'
import { Push, type PushResult, RecordLimits } from './push.js'
import { type PushRequest, parsePush, scanPush, TooManyRecordsError } from './push-parse.js'
import { type Limits, LimitTurns, noLimits, RateLimiter, SharedLimits } from './rate-limits.js'
import { purged, refusalOf } from './record-errors.js'
import type { KprfSettings } from './settings.js'

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
  header === undefined || header === 'application/json' || COUNTS_AS_JSON.test(header)

/** A request whose body is not read. */
type Refused = Pick<Exchange, 'response' | 'requestId'>

export interface PushEndpointParts {
  readonly push: Push
  readonly access: Access
  readonly answers: Answers
  readonly metrics: KprfMetrics
  readonly log: Logger
  readonly clock: () => number
  /** Absent: no other process shares the limits. */
  readonly turns?: LimitTurns | undefined
}

/** `POST /push`: reads the body, pushes, answers. It writes to Node's response; Fastify no longer handles it. */
export class PushEndpoint {
  readonly #parts: PushEndpointParts
  readonly #ok: AnswerTemplate
  readonly #maxBodyBytes: number
  readonly #maxRecords: number
  readonly #failureStart: string
  readonly #pool = new BufferPool(POOL_BYTES)

  /** @param maxBodyBytes the limit of the server, which may be the smaller one */
  constructor(settings: KprfSettings, maxBodyBytes: number, parts: PushEndpointParts) {
    this.#parts = parts
    this.#ok = parts.answers.template(200, JSON_TYPE)
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
      if (this.#parts.turns === undefined) this.#serve(exchange, push)
      else this.#serveInTurn(this.#parts.turns, exchange, push, body)
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

  /** Asks the limiter of all processes first whether the records may pass. */
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
    const caller = this.#parts.access.callerOf(exchange.request)
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
    this.#parts.access.callerOf(request).charge(0, bodyBytes)
  }

  #answerEnqueued(exchange: Exchange, push: PushRequest, limits?: Limits): void {
    const startedAt = this.#parts.clock()
    const result = this.#parts.push.enqueue(push, originOf(exchange.request), limits)
    if (!(result instanceof Promise)) this.#result(exchange, result, false, startedAt)
    else {
      result.then(
        logged => this.#result(exchange, logged, false, startedAt),
        (error: unknown) => this.#broken(exchange, error)
      )
    }
  }

  #answerDelivered(exchange: Exchange, push: PushRequest, limits?: Limits): void {
    const startedAt = this.#parts.clock()
    this.#parts.push.deliver(push, originOf(exchange.request), limits).then(
      result => this.#result(exchange, result, true, startedAt),
      (error: unknown) => this.#broken(exchange, error)
    )
  }

  /** One entry per record, in the form that all APIs have in common. */
  #answerEach(exchange: Exchange, push: PushRequest, limits?: Limits): void {
    const startedAt = this.#parts.clock()
    const { waitForSend } = push
    this.#parts.push.each(push, originOf(exchange.request), limits).then(
      known => {
        const hasFailed = known.some(one => one !== 'pending' && one.type === 'failed')
        this.#parts.metrics.answered(hasFailed ? 500 : 200, waitForSend, this.#parts.clock() - startedAt)
        this.#parts.answers.outcomes(exchange, known)
      },
      (error: unknown) => this.#broken(exchange, error)
    )
  }

  #result({ response, requestId }: Exchange, result: PushResult, isSync: boolean, startedAt: number): void {
    const { errors, persisted, retryAfterSeconds } = result
    const headers = { requestId, persisted }
    const status = errors === undefined ? 200 : retryAfterSeconds === undefined ? 500 : 429
    this.#parts.metrics.answered(status, isSync, this.#parts.clock() - startedAt)
    if (response.destroyed) return
    const retryAfter = retryAfterSeconds === undefined ? undefined : { 'retry-after': String(retryAfterSeconds) }
    if (errors !== undefined) {
      noteFailure(response, result.code)
      this.#parts.answers.send(response, status, JSON_TYPE, this.#failures(errors), headers, retryAfter)
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
    this.#parts.answers.send(response, refusalStatus(error)!, JSON_TYPE, this.#failures(texts), answer, all)
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
    this.#parts.answers.send(response, status, TEXT_TYPE, text, { requestId, persisted: NOT_PERSISTED }, headers)
  }

  /** After a bug the records may already have been produced. */
  #broken({ response, requestId }: Exchange, error: unknown): void {
    this.#parts.log.error({ requestId, err: error }, 'a push failed unexpectedly')
    this.#parts.answers.send(response, 500, TEXT_TYPE, '', { requestId, persisted: persistedText(['unknown']) })
  }
}

/** The routes of kprf. The path of its metrics is secret, and served for any method. */
export const kprfPlugin =
  (context: ApiContext<KprfSettings>): ApiPlugin =>
  app => {
    const metrics = new KprfMetrics(context.metrics)
    const endpoint = createEndpoint(context, metrics, app.initialConfig.bodyLimit ?? context.settings.maxBodyBytes)
    const { idempotency, settings } = context
    const { maxBodyBytes, messageTimeoutMs: waitMs } = settings
    const receive = withKeys(idempotency, exchange => endpoint.receive(exchange), { maxBodyBytes, waitMs })
    const preParsing = byHand(receive, admissionOf(context, settings.durability))
    app.setErrorHandler(refusedBy((exchange, error) => endpoint.refuse(exchange, error)))
    answerUnknown(app, reply => reply.code(404).send())
    const pushes = ['/push', '/push/'].map((path): Route => ({ method: 'post', path, preParsing }))
    addRoutes(app, pushes, () => sendMethodNotAllowed)
    const config: NamedRoute = { routeName: `${app.prefix}/metrics` }
    const options = { preParsing: sendMetrics(context, metrics), config }
    for (const end of ['', '/']) app.all(`${METRICS_PATH}/metrics${end}`, options, answeredBefore)
    const urls = new Set(pushes.map(({ path }) => app.prefix + path))
    addPersistedHeader(app, ({ method, routeOptions: { url = '' } }) => method === 'POST' && urls.has(url))
  }

function createEndpoint(context: ApiContext<KprfSettings>, counted: KprfMetrics, maxBodyBytes: number): PushEndpoint {
  const { gateway, access, settings, log, now, clock } = context
  const limits = new RecordLimits(settings.messageMaxBytes, new RateLimiter(settings.ratelimit), counted, clock)
  const options = { ...settings, capacityWaitMs: capacityWaitMsOf(context) }
  const push = new Push(gateway, limits, new RecordCounts(counted, log), options, clock)
  const answers = new Answers(now)
  const turns = context.shared && new LimitTurns(new SharedLimits(settings, context.shared))
  return new PushEndpoint(settings, maxBodyBytes, { push, access, answers, metrics: counted, log, clock, turns })
}

const sendMetrics =
  ({ access }: ApiContext<KprfSettings>, metrics: KprfMetrics): preParsingHookHandler =>
  (request, reply) => {
    const refusal = access.callerOf(request.raw).refusalOf('management')
    if (refusal !== undefined) reply.send(refusal)
    else metrics.text().then(text => reply.type('text/plain; charset=utf-8').send(text), reply.send.bind(reply))
  }

const sendMethodNotAllowed: preParsingHookHandler = (_, reply) => {
  reply.code(405).type('text/plain; charset=utf-8').send('HTTP method not allowed')
}
