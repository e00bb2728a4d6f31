import type { ErrorCode } from '../../core/errors.js'
import { isoOf } from '../../core/instants.js'
import type { RecordFailure } from '../../core/model.js'
import { sendAnswer } from '../../http/exchange/answers.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { JSON_TYPE, statusByCode as statusOfProblems } from '../../http/exchange/modern-answers.js'
import type { ArionMetrics } from './arion-metrics.js'
import type { Destination } from './target.js'

/** The bodies of Arion's answers: compact JSON. */

let lastMs = Number.NaN
let lastTime = ''

/** Consecutive answers mostly have the same time. */
function time(epochMs: number): string {
  if (epochMs !== lastMs) {
    lastMs = epochMs
    lastTime = isoOf(epochMs)!
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
export const arionErrorBody = (error: string, further: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({ status: 'error', error, ...further })

/** Arion's answers to errors of the server have `message` and `details`. */
export const serverErrorBody = (message: string, details: string | null): string =>
  JSON.stringify({ status: 'error', message, details })

export const tooLargeBody = (sizeBytes: number, limitBytes: number): string =>
  arionErrorBody('message too large', { size: sizeBytes, limit: limitBytes })

export const HEALTH_BODY = '{"status":"ok"}'
const UNABLE_TO_ENQUEUE = arionErrorBody('unable to enqueue message')
export const TOO_MANY_REQUESTS = 'too many concurrent requests; backoff and retry'
export const UNEXPECTED = 'server encountered an error processing request'
export const EXPECTED_WEBSOCKET = 'expected websocket request'

/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }

/**
 * The statuses of messages that were not taken or not delivered. 503 when a retry may succeed, 500 when it cannot.
 */
export const statusByCode: Readonly<Record<ErrorCode, number>> = {
  ...statusOfProblems,
  recordTooLarge: 500,
  recordRejected: 500,
  unknownTopic: 503,
  unknownPartition: 503,
  notAuthorized: 500,
  clusterChanged: 503,
  protocol: 503,
  kafka: 500
}

/** Codes of errors when the queue takes no message now. */
const QUEUE_REFUSES: ReadonlySet<ErrorCode> = new Set(['overloaded', 'logUnavailable', 'shuttingDown'])

/** Arion's body for a message that was not taken or not delivered. */
export const failureBody = (failure: RecordFailure, further: Readonly<Record<string, unknown>>): string =>
  QUEUE_REFUSES.has(failure.code) ? UNABLE_TO_ENQUEUE : arionErrorBody(toError(failure), further)

/** Answers requests that produce nothing, and counts them. */
export class ArionAnswers {
  readonly #metrics: ArionMetrics

  constructor(metrics: ArionMetrics) {
    this.#metrics = metrics
  }

  /** Counts a 101, which the websocket has already written. */
  upgraded(): void {
    this.#metrics.answered(101)
  }

  json(asked: Exchange, status: number, body: string): void {
    this.#write(asked, status, JSON_TYPE, body)
  }

  /** Text without JSON; the connection ends with it. */
  text(asked: Exchange, status: number, text: string, headers?: Readonly<Record<string, string>>): void {
    this.#write(asked, status, text === '' ? undefined : 'text/plain', text, { ...CLOSE, ...headers })
  }

  #write(
    { response, requestId }: Exchange,
    status: number,
    type: string | undefined,
    body: string,
    headers?: Readonly<Record<string, string>>
  ): void {
    this.#metrics.answered(status)
    sendAnswer(response, status, type, body, { requestId, persisted: undefined }, headers)
  }
}

function toError({ code, message, persisted }: RecordFailure): string {
  if (code === 'invalidTopic') return 'malformed topic'
  return code === 'timedOut' && persisted === 'pending' ? 'still queued' : message
}
