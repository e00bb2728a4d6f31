import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { Access } from '../../access/access.js'
import { refusalHeaders, refusalStatus } from '../../access/refusals.js'
import type { KprfSettings } from '../../config/kprf-settings.js'
import { type CastellanError, ForbiddenError, OverloadedError } from '../../errors.js'
import { persistedText } from '../../gateway/persisted.js'
import type { Logger } from '../../model.js'
import { collectBody } from './body-collector.js'
import { BufferPool } from './buffer-pool.js'
import { isJsonContentType } from './content-type.js'
import { DeserializeError } from './json-reader.js'
import type { KprfMetrics } from './kprf-metrics.js'
import type { Push, PushResult } from './push.js'
import { parsePush, TooManyRecordsError } from './push-parse.js'
import type { PushRequest } from './push-request.js'
import { scanPush } from './push-scan.js'
import { purged, refusalOf } from './record-errors.js'
import type { Responder } from './responses.js'

/** Memory kept for putting bodies together again while none are. */
const POOL_BYTES = 16 * 1024 * 1024

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'
/** The rest of a body that is not wanted is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }
/** Of a request that was refused before its records were handed on. */
const NOT_PERSISTED = persistedText(['no'])

/** A request on its way through the endpoint. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
}

/** `POST /push`: reads the body, pushes, answers. It writes to Node's response; Fastify has let go of it. */
export class PushEndpoint {
  readonly #push: Push
  readonly #access: Access
  readonly #responder: Responder
  readonly #metrics: KprfMetrics
  readonly #log: Logger
  readonly #clock: () => number
  readonly #maxBodyBytes: number
  readonly #maxRecords: number
  readonly #failureStart: string
  readonly #pool = new BufferPool(POOL_BYTES)

  /** @param maxBodyBytes the limit of the server, in case it is the smaller one */
  constructor(
    settings: KprfSettings,
    maxBodyBytes: number,
    parts: {
      push: Push
      access: Access
      responder: Responder
      metrics: KprfMetrics
      log: Logger
      clock: () => number
    }
  ) {
    this.#push = parts.push
    this.#access = parts.access
    this.#responder = parts.responder
    this.#metrics = parts.metrics
    this.#log = parts.log
    this.#clock = parts.clock
    this.#maxBodyBytes = Math.min(settings.maxBodyBytes, maxBodyBytes)
    this.#maxRecords = settings.maxRecordsPerRequest
    this.#failureStart = `{"status":"${settings.failureWord}","errors":[`
  }

  /** @param payload the body, as the hooks before left it */
  receive(request: IncomingMessage, response: ServerResponse, payload: Readable, requestId: string): void {
    const exchange = { request, response, requestId }
    if (!isJsonContentType(request.headers['content-type'])) {
      this.#text(exchange, 415, "The request's content-type is not supported")
      return
    }
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, this.#maxBodyBytes, this.#pool, body => {
      if (body instanceof Error) this.#unread(exchange, body)
      else if (body === 'tooLarge') {
        // What is announced as too large is not read.
        if (declaredBytes <= this.#maxBodyBytes) this.#chargeUnusable(exchange, this.#maxBodyBytes)
        this.#tooLarge(exchange)
      } else this.#answer(exchange, body)
    })
  }

  /** Refuses a request nothing of which has been read, for a reason that is in {@link refusalStatus}. */
  refuse(exchange: Exchange, error: CastellanError): void {
    // Nothing is known of topics yet, so it is the whole request that is forbidden, and the reason says why.
    const text = error instanceof ForbiddenError ? JSON.stringify(error.message).slice(1, -1) : refusalOf(error.code)
    this.#refused(exchange, error, [text], CLOSE)
  }

  /** A client that left is told nothing. */
  #unread(exchange: Exchange, error: Error): void {
    if (error instanceof OverloadedError) this.refuse(exchange, error)
  }

  #answer(exchange: Exchange, body: Buffer): void {
    try {
      const push = scanPush(body, this.#maxRecords) ?? parsePush(body, this.#maxRecords)
      if (this.#isRefused(exchange, push, body.length)) return
      if (push.waitForSend) this.#answerDelivered(exchange, push)
      else this.#answerEnqueued(exchange, push)
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

  /** The topics stand in the body, so this is the first moment to ask whether the client may write to them. */
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

  /** What cannot be understood was sent and read all the same; the requests that follow pay for it. */
  #chargeUnusable({ request }: Exchange, bodyBytes: number): void {
    this.#access.callerOf(request).charge(0, bodyBytes)
  }

  #answerEnqueued(exchange: Exchange, push: PushRequest): void {
    const startedAt = this.#clock()
    this.#result(exchange, this.#push.enqueue(push), false, startedAt)
  }

  #answerDelivered(exchange: Exchange, push: PushRequest): void {
    const startedAt = this.#clock()
    this.#push.deliver(push).then(
      result => this.#result(exchange, result, true, startedAt),
      (error: unknown) => this.#broken(exchange, error)
    )
  }

  #result({ response, requestId }: Exchange, result: PushResult, isSync: boolean, startedAt: number): void {
    const { errors, persisted } = result
    const headers = { requestId, persisted }
    this.#metrics.answered(errors === undefined ? 200 : 500, isSync, this.#clock() - startedAt)
    if (response.destroyed) return
    if (errors !== undefined) this.#responder.send(response, 500, JSON_TYPE, this.#failures(errors), headers)
    // Outcomes come many at a time and are answered one after another anyway.
    else if (isSync) this.#responder.ok(response, headers)
    else this.#responder.okSoon(response, headers)
  }

  #refused(
    { response, requestId }: Exchange,
    error: CastellanError,
    texts: readonly string[],
    headers?: Record<string, string>
  ): void {
    const answer = { requestId, persisted: NOT_PERSISTED }
    const all = { ...headers, ...refusalHeaders(error) }
    this.#responder.send(response, refusalStatus(error)!, JSON_TYPE, this.#failures(texts), answer, all)
  }

  #failures(texts: readonly (string | undefined)[]): string {
    // All texts are ours and need no escape.
    const entries = texts.map(text =>
      text === undefined ? '{"error":false,"message":null}' : `{"error":true,"message":"${text}"}`
    )
    return `${this.#failureStart}${entries.join(',')}]}`
  }

  #tooLarge(exchange: Exchange): void {
    this.#text(exchange, 413, 'The request payload is too large', CLOSE)
  }

  #text({ response, requestId }: Exchange, status: number, text: string, headers?: Record<string, string>): void {
    this.#responder.send(response, status, TEXT_TYPE, text, { requestId, persisted: NOT_PERSISTED }, headers)
  }

  /** A bug: the records may have been handed on before it. */
  #broken({ response, requestId }: Exchange, error: unknown): void {
    this.#log.error({ requestId, err: error }, 'a push failed unexpectedly')
    this.#responder.send(response, 500, TEXT_TYPE, '', { requestId, persisted: persistedText(['unknown']) })
  }
}
