import type { ServerResponse } from 'node:http'
import { type CastellanError, type ErrorCode, OverloadedError } from '../../core/errors.js'
import type { RecordFailure } from '../../core/model.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import { Answers, type AnswerTemplate, unreadBodyHeaders } from '../../http/exchange/answers.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { Cause, Known } from '../../http/exchange/modern-answers.js'
import type { ArionMetrics } from './arion-metrics.js'
import type { Destination } from './target.js'

/** The bodies of Arion's answers: compact JSON. */

let lastMs = Number.NaN
let lastTime = ''

/** Consecutive answers mostly have the same time. */
function time(epochMs: number): string {
  if (epochMs !== lastMs) {
    lastMs = epochMs
    lastTime = new Date(epochMs).toISOString()
  }
  return lastTime
}

interface SentMessage extends Destination {
  readonly partition: number
  readonly offset: number
  /** When Kafka acknowledged it, epoch milliseconds. */
  readonly sentAt: number
}

/** The topic contains legal characters only, so it needs no escaping. */
export const sentBody = ({ topic, key, partition, offset, sentAt }: SentMessage): string =>
  `{"status":"sent","key":${JSON.stringify(key)},"topic":"${topic}","partition":${partition},"offset":${offset},"sent":"${time(sentAt)}"}`

/** The reply on a websocket. Its members have another order than those of an HTTP answer. */
export const sentReply = ({ topic, key, partition, offset, sentAt }: SentMessage): string =>
  `{"topic":"${topic}","partition":${partition},"offset":${offset},"sent":"${time(sentAt)}","status":"sent","key":${JSON.stringify(key)}}`

export const enqueuedBody = ({ topic, key }: Destination, enqueuedAt: number, id: string): string =>
  `{"status":"enqueued","topic":"${topic}","key":${JSON.stringify(key)},"enqueued":"${time(enqueuedAt)}","id":"${id}"}`

/** Arion says `error` where the client or the queue is to blame. */
export const errorBody = (error: string, further: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({ status: 'error', error, ...further })

/** Arion's answers to errors of the server have `message` and `details`. */
const serverErrorBody = (message: string, details: string | null): string =>
  JSON.stringify({ status: 'error', message, details })

const tooLargeBody = (sizeBytes: number, limitBytes: number): string =>
  errorBody('message too large', { size: sizeBytes, limit: limitBytes })

export const HEALTH_BODY = '{"status":"ok"}'
const UNABLE_TO_ENQUEUE = errorBody('unable to enqueue message')
const TOO_MANY_REQUESTS = 'too many concurrent requests; backoff and retry'
const UNEXPECTED = 'server encountered an error processing request'
export const EXPECTED_WEBSOCKET = 'expected websocket request'

const JSON_TYPE = 'application/json'
const RETRY_AFTER = { 'retry-after': '1' }
/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }

/** The parts of a request that its answer needs. */
type Asked = Pick<Exchange, 'response' | 'requestId'>

/**
 * The statuses of messages that were not taken or not delivered. 503 when a retry may succeed, 500 when it cannot.
 */
const statusByCode = {
  invalidRequest: 400,
  invalidTopic: 400,
  invalidConfig: 500,
  recordTooLarge: 500,
  recordRejected: 500,
  batchTooLarge: 500,
  unknownTopic: 503,
  unknownPartition: 503,
  notAuthorized: 500,
  authenticationFailed: 503,
  unauthenticated: 401,
  forbidden: 403,
  quotaExceeded: 429,
  issuerUnreachable: 503,
  overloaded: 503,
  logUnavailable: 503,
  shuttingDown: 503,
  brokerUnreachable: 503,
  clusterChanged: 503,
  noLeader: 503,
  timedOut: 504,
  protocol: 503,
  kafka: 500
} as const satisfies Record<ErrorCode, number>

/** Codes of errors when the queue takes no message now. */
const QUEUE_REFUSES: ReadonlySet<ErrorCode> = new Set(['overloaded', 'logUnavailable', 'shuttingDown'])

/** Writes Arion's answers, and counts them. */
export class ArionAnswers {
  readonly #answers: Answers
  readonly #metrics: ArionMetrics
  readonly #sent: AnswerTemplate
  readonly #enqueued: AnswerTemplate

  constructor(now: () => number, metrics: ArionMetrics) {
    this.#answers = new Answers(now)
    this.#metrics = metrics
    this.#sent = this.#answers.template(201, JSON_TYPE)
    this.#enqueued = this.#answers.template(202, JSON_TYPE)
  }

  /** 201 for a message that Kafka has. */
  sent({ response, requestId }: Asked, body: string): void {
    this.#metrics.answered(201)
    if (!response.destroyed) this.#sent.send(response, { requestId, persisted: 'yes' }, body)
  }

  /** 202 for a message that will be in Kafka. */
  enqueued({ response, requestId }: Asked, body: string): void {
    this.#metrics.answered(202)
    if (!response.destroyed) this.#enqueued.sendSoon(response, { requestId, persisted: 'pending' }, body)
  }

  /** The modern answer, in the form that all APIs have in common. */
  outcome(asked: Asked, known: Known): void {
    this.#metrics.answered(known === 'pending' ? 202 : known.type === 'delivered' ? 201 : statusByCode[known.code])
    this.#answers.outcomes(asked, [known])
  }

  /** Counts a 101, which the websocket has already written. */
  upgraded(): void {
    this.#metrics.answered(101)
  }

  /** Answers a request that produces nothing. */
  json(asked: Asked, status: number, body: string): void {
    this.#write(asked, status, JSON_TYPE, body)
  }

  /** Refuses a produce request. */
  refused(asked: Asked, status: number, body: string, headers?: Readonly<Record<string, string>>): void {
    this.#write(asked, status, JSON_TYPE, body, 'no', headers)
  }

  /** @param isWhole whether the size of the whole body is known */
  tooLarge(asked: Asked, sizeBytes: number, limitBytes: number, isWhole: boolean): void {
    this.refused(asked, 400, tooLargeBody(sizeBytes, limitBytes), isWhole ? undefined : CLOSE)
  }

  /** Text without JSON; the connection ends with it. */
  text(asked: Asked, status: number, text: string, headers?: Readonly<Record<string, string>>): void {
    this.#write(asked, status, text === '' ? undefined : 'text/plain', text, undefined, { ...CLOSE, ...headers })
  }

  /** A request that was refused in a hook, before anything of it was read, for a reason in {@link refusalStatus}. */
  notAdmitted(asked: Asked, error: CastellanError): void {
    const body =
      error instanceof OverloadedError ? serverErrorBody(TOO_MANY_REQUESTS, error.message) : errorBody(error.message)
    const headers = { ...unreadBodyHeaders(asked.response, error), ...refusalHeaders(error) }
    this.#write(asked, refusalStatus(error)!, JSON_TYPE, body, 'no', headers, error)
  }

  /** Answers for a message that was not taken, or that Kafka refused or did not get in time. */
  failed(asked: Asked, failure: RecordFailure, further: Readonly<Record<string, unknown>> = {}): void {
    const { code, persisted } = failure
    const status = statusByCode[code]
    const body = QUEUE_REFUSES.has(code) ? UNABLE_TO_ENQUEUE : errorBody(toError(failure), further)
    this.#write(asked, status, JSON_TYPE, body, persisted, status === 503 ? RETRY_AFTER : undefined, failure)
  }

  /** Answers after a bug. The message may have been taken before the bug. */
  broken(asked: Asked, error: unknown): void {
    const details = error instanceof Error ? error.message : null
    this.#write(asked, 500, JSON_TYPE, serverErrorBody(UNEXPECTED, details), 'unknown')
  }

  #write(
    { response, requestId }: Asked,
    status: number,
    type: string | undefined,
    body: string,
    persisted?: string,
    headers?: Readonly<Record<string, string>>,
    cause?: Cause
  ): void {
    this.#metrics.answered(status)
    this.#answers.send(response as ServerResponse, status, type, body, { requestId, persisted, cause }, headers)
  }
}

function toError({ code, message, persisted }: RecordFailure): string {
  if (code === 'invalidTopic') return 'malformed topic'
  return code === 'timedOut' && persisted === 'pending' ? 'still queued' : message
}
