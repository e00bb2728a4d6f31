import {
  type CastellanError,
  ForbiddenError,
  OverloadedError,
  QuotaExceededError,
  UnreadableBodyError
} from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import type { PendingProduce } from '../../gateway/gateway.js'
import { persistedText } from '../../gateway/persisted.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import type { RefusedByApi } from '../../http/api/refused-records.js'
import { type Answers, type AnswerTemplate, unreadBodyHeaders } from '../../http/exchange/answers.js'
import type { Asked, Exchange } from '../../http/exchange/exchange.js'
import { certaintyOfKnown, codeOfStatus, type Known, knownOfAccepted } from '../../http/exchange/modern-answers.js'
import type { KafboyMetrics } from './kafboy-metrics.js'
import type { ProduceMode } from './routes.js'

/** A request to a produce route on its way to an answer. */
export interface ProduceRequest {
  readonly exchange: Exchange
  readonly topic: string
  readonly mode: ProduceMode
  /** Monotonic milliseconds. */
  readonly startedAt: number
}

const JSON_TYPE = 'application/json; charset=utf-8'
const NOT_PERSISTED = persistedText(['no'])
const PENDING = persistedText(['pending'])
const UNKNOWN = persistedText(['unknown'])
/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }
const RETRY = { 'retry-after': '1' }

/** Writes the answers of produce routes, and counts them. */
export class Replies {
  readonly #answers: Answers
  readonly #metrics: KafboyMetrics
  readonly #clock: () => number
  readonly #log: Logger
  readonly #ok: AnswerTemplate
  /** Counts records that are refused. */
  readonly refused: RefusedByApi

  constructor(answers: Answers, metrics: KafboyMetrics, refused: RefusedByApi, clock: () => number, log: Logger) {
    this.refused = refused
    this.#answers = answers
    this.#metrics = metrics
    this.#clock = clock
    this.#log = log
    this.#ok = answers.template(200, JSON_TYPE)
  }

  /** 200 with JSON. `soon`: together with the other answers of this tick. */
  ok(request: ProduceRequest, body: string, persisted: string, soon = false): void {
    const { response, requestId } = request.exchange
    this.#count(request, 200)
    if (response.destroyed) return
    if (soon) this.#ok.sendSoon(response, { requestId, persisted }, body)
    else this.#ok.send(response, { requestId, persisted }, body)
  }

  /** Counts those of accepted records that were refused. @returns what is certain of all of them */
  certaintyOf(records: number, refused: PendingProduce['refused']): string {
    if (refused === undefined) return PENDING
    const known = knownOfAccepted(records, refused)
    this.refused.addFailed(known)
    return persistedText(known.map(certaintyOfKnown))
  }

  /** The modern answer, in the form that all APIs have in common. */
  outcomes(request: ProduceRequest, known: readonly Known[]): void {
    this.refused.addFailed(known)
    const hasFailed = known.some(one => one !== 'pending' && one.type === 'failed')
    this.#count(request, hasFailed ? 502 : 200)
    this.#answers.outcomes(request.exchange, known)
  }

  /** Any other answer to a produce request. */
  send(
    request: ProduceRequest,
    status: number,
    body: string,
    persisted: string,
    headers?: Record<string, string>
  ): void {
    const { response, requestId } = request.exchange
    this.#count(request, status)
    this.#answers.send(response, status, JSON_TYPE, body, { requestId, persisted }, headers)
  }

  /** `{"error":"…"}`, where nothing has been produced. */
  error(request: ProduceRequest, status: number, message: string, isRead = true, code = codeOfStatus(status)): void {
    const headers = { ...(status === 503 && RETRY), ...(!isRead && CLOSE) }
    this.refused.add({ code, message })
    this.send(request, status, toError(message), NOT_PERSISTED, headers)
  }

  /** 500 without a body, for a hook that has failed or a bug. */
  broken(request: ProduceRequest, persisted: string): void {
    const { response, requestId } = request.exchange
    this.#count(request, 500)
    this.#answers.send(response, 500, undefined, '', { requestId, persisted })
  }

  /** Answers after a bug. Records may have been handed on before the bug. */
  guarded(request: ProduceRequest, answer: () => void): void {
    try {
      answer()
    } catch (error) {
      this.#log.error({ err: error }, 'a kafboy request failed unexpectedly')
      this.broken(request, UNKNOWN)
    }
  }

  /** Refuses a request before anything is produced. `error` must be one that {@link refusalStatus} has a status for. */
  refuse({ response, requestId }: Asked, error: CastellanError, isRead = false): void {
    const headers = { ...refusalHeaders(error), ...(!isRead && unreadBodyHeaders(response, error)) }
    this.refused.add(error, 1, true)
    const answer = { requestId, persisted: NOT_PERSISTED, cause: error }
    this.#answers.send(response, refusalStatus(error)!, JSON_TYPE, toError(wordOf(error)), answer, headers)
  }

  #count({ mode, startedAt }: ProduceRequest, status: number): void {
    this.#metrics.answered(mode, status, this.#clock() - startedAt)
  }
}

const toError = (message: string): string => `{"error":${JSON.stringify(message)}}`

/** The topics are not known yet, so the whole request is forbidden, and the text gives the reason. */
function wordOf(error: CastellanError): string {
  if (error instanceof ForbiddenError || error instanceof UnreadableBodyError) return error.message
  if (error instanceof QuotaExceededError) return 'quota exceeded'
  if (error instanceof OverloadedError) return error.code === 'shuttingDown' ? 'shutting down' : 'system overload'
  return error.code
}
