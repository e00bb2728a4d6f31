import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, type ErrorCode, type KafkaError } from '../../core/errors.js'
import type { HeldRecords } from '../../core/record-budget.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import { type AnswerOptions, ApiAnswers, ApiError } from '../../http/api/api-answers.js'
import { AnswerTemplate, noteFailure, UNKNOWN_PATH, untoldWarning } from '../../http/exchange/answers.js'
import type { Reply } from '../../http/exchange/exchange.js'
import { JSON_TYPE } from '../../http/exchange/modern-answers.js'
import type { AnswerBody } from '../../http/exchange/pieced-body.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { GoJsonError, goString } from './go-json.js'

/** Status and text of an error answer. */
interface FailureAnswer {
  readonly status: number
  readonly text: string
}

export interface AnyFailure {
  readonly code: CastellanError['code']
  readonly message: string
  readonly setting?: string | undefined
  /** Kafka's protocol error code when a broker said so. */
  readonly errorCode?: number | undefined
}

export const SHUTTING_DOWN_TEXT = 'service is shutting down'
export const DISABLED = 'service is disabled by configuration'
export const LONG_POLL_TIMEOUT = 'long polling timeout'
const TOO_MANY_REQUESTS =
  'Too many requests. Consider increasing `consumer.channel_buffer_size` (advanced.consumer.maxWaitingRequests of Castellan)'
/** The text when offsets cannot be set, because members read for the group. */
export const CONSUMED =
  'the group is being consumed by other processes: offsets can be set when they have left (consumer.subscriptionTimeoutMs)'
const NO_BROKER = 'kafka: client has run out of available brokers to talk to (Is your cluster reachable?)'
const MESSAGE_TOO_LARGE = 10

const UNKNOWN_TOPIC_OR_PARTITION = 3

/** Kafka's errors in the words of the original's client library. Source: sarama 1.23.1, errors.go. */
const TEXTS: ReadonlyMap<number, string> = new Map([
  [-1, 'Unexpected (unknown?) server error.'],
  [2, 'Message contents does not match its CRC.'],
  [UNKNOWN_TOPIC_OR_PARTITION, 'Request was for a topic or partition that does not exist on this broker.'],
  [
    5,
    'In the middle of a leadership election, there is currently no leader for this partition and hence it is unavailable for writes.'
  ],
  [6, 'Tried to send a message to a replica that is not the leader for some partition. Your metadata is out of date.'],
  [7, 'Request exceeded the user-specified time limit in the request.'],
  [MESSAGE_TOO_LARGE, 'Message was too large, server rejected it to avoid allocation error.'],
  [12, 'Specified a string larger than the configured maximum for offset metadata.'],
  [17, 'The request attempted to perform an operation on an invalid topic.'],
  [18, 'The request included message batch larger than the configured segment size on the server.'],
  [19, 'Messages are rejected since there are fewer in-sync replicas than required.'],
  [20, 'Messages are written to the log, but to fewer in-sync replicas than required.'],
  [29, 'The client is not authorized to access this topic.'],
  [30, 'The client is not authorized to access this group.'],
  [32, 'The timestamp of the message is out of acceptable range.']
])

const kafkaText = (errorCode: number): string | undefined => {
  const text = TEXTS.get(errorCode)
  return text && `kafka server: ${text}`
}

export const TOO_LARGE = kafkaText(MESSAGE_TOO_LARGE)!
export const NO_SUCH_TOPIC_TEXT = kafkaText(UNKNOWN_TOPIC_OR_PARTITION)!

/**
 * How each code is told: a number is Kafka's code for it, in whose words it is told; `message`: by the text of the error; `busy`:
 * as 503; `away`: in the words for brokers that cannot be reached, where none can be.
 */
const TOLD: Readonly<Record<ErrorCode, number | 'message' | 'busy' | 'away' | 'stopping'>> = {
  invalidRequest: 'message',
  invalidTopic: 17,
  invalidConfig: 'message',
  recordTooLarge: MESSAGE_TOO_LARGE,
  recordRejected: 'message',
  batchTooLarge: MESSAGE_TOO_LARGE,
  unknownTopic: UNKNOWN_TOPIC_OR_PARTITION,
  unknownPartition: UNKNOWN_TOPIC_OR_PARTITION,
  notAuthorized: 29,
  authenticationFailed: 'message',
  unauthenticated: 'message',
  forbidden: 'message',
  quotaExceeded: 'message',
  issuerUnreachable: 'message',
  registryUnreachable: 'message',
  overloaded: 'busy',
  logUnavailable: 'busy',
  shuttingDown: 'stopping',
  peerAway: 'message',
  brokerUnreachable: 'away',
  clusterChanged: 'message',
  noLeader: 5,
  timedOut: 'away',
  aborted: 'message',
  protocol: 'message',
  kafka: 'message'
}

/**
 * The answer to a request for a message when a limit is reached: in the words of the original if it has the same limit.
 */
export const overloadedTextOf = ({ message, setting }: AnyFailure): string =>
  setting === 'advanced.consumer.maxWaitingRequests' ? TOO_MANY_REQUESTS : message

/** The coordinator accepts commits of non-members only while a group has no members. */
const HAS_MEMBERS: ReadonlySet<number | undefined> = new Set([
  errorCodes.UNKNOWN_MEMBER_ID,
  errorCodes.ILLEGAL_GENERATION,
  errorCodes.REBALANCE_IN_PROGRESS
])

export const isConsumedByOthers = ({ errorCode }: AnyFailure): boolean => HAS_MEMBERS.has(errorCode)

/** @param isReady whether any broker can be reached */
export function failureAnswerOf(failure: AnyFailure, isReady: boolean): FailureAnswer {
  const { message } = failure
  const told = TOLD[errorCodeOf(failure)]
  if (told === 'stopping') return { status: 503, text: SHUTTING_DOWN_TEXT }
  if (told === 'busy') return { status: 503, text: message }
  if (told === 'away' && !isReady) return { status: 500, text: NO_BROKER }
  if (failure.errorCode === errorCodes.INCONSISTENT_GROUP_PROTOCOL) return { status: 409, text: message }
  return { status: 500, text: kafkaText(failure.errorCode ?? Number(told)) ?? message }
}

export function produceFailureOf(failure: AnyFailure, isReady: boolean): FailureAnswer {
  const { status, text } = failureAnswerOf(failure, isReady)
  return { status: text === NO_SUCH_TOPIC_TEXT ? 404 : status, text }
}

const TEXT_TYPE = 'text/plain; charset=utf-8'
const NO_SNIFFING = { 'x-content-type-options': 'nosniff' }
export const RETRY = { 'retry-after': '1' }

export class PixyAnswers extends ApiAnswers {
  readonly #ok = new AnswerTemplate(200, JSON_TYPE)

  /** 200 with JSON, indented as Go does. */
  ok({ response, requestId }: Reply, body: string): void {
    if (!response.destroyed) this.#ok.send(response, { requestId, persisted: undefined }, body)
  }

  message(
    asked: Reply,
    body: AnswerBody,
    headers: Readonly<Record<string, readonly string[]>>,
    held?: HeldRecords
  ): void {
    this.send(asked, 200, JSON_TYPE, body, { headers, held })
  }

  error(asked: Reply, status: number, text: string, { isRead, headers: further }: AnswerOptions = {}): void {
    const headers = { ...(status === 429 || status === 503 ? RETRY : {}), ...further }
    this.send(asked, status, JSON_TYPE, errorBody(text), { headers, ...(isRead !== undefined && { isRead }) })
  }

  /**
   * The failure of an operation, in the words of the original.
   *
   * @param isReady whether any broker can be reached
   */
  failure(asked: Reply, failure: AnyFailure, isReady: boolean): void {
    const { status, text } = failureAnswerOf(failure, isReady)
    noteFailure(asked.response, errorCodeOf(failure))
    this.error(asked, status, text, { headers: untoldWarning(text, failure) })
  }

  /**
   * Answers an error in the words of the original.
   *
   * @param isReady whether any broker can be reached
   * @returns false: it is a bug, and nothing is answered
   */
  failed(asked: Reply, error: unknown, isReady: boolean): boolean {
    if (error instanceof ApiError) this.error(asked, error.status, error.message)
    else if (error instanceof GoJsonError) this.error(asked, 400, `Failed to parse the request: err=(${error.message})`)
    else if (!(error instanceof CastellanError)) return false
    else if (isConsumedByOthers(error as KafkaError)) this.error(asked, 409, CONSUMED)
    else this.failure(asked, error, isReady)
    return true
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse(asked: Reply, error: CastellanError, isRead = false): void {
    const text = error.code === 'shuttingDown' ? SHUTTING_DOWN_TEXT : error.message
    const options = { headers: refusalHeaders(error), isRead, cause: error }
    this.send(asked, refusalStatus(error)!, JSON_TYPE, errorBody(text), options)
  }

  pong(asked: Reply): void {
    this.send(asked, 200, TEXT_TYPE, 'pong')
  }

  notFound(asked: Reply): void {
    this.send(asked, 404, TEXT_TYPE, '404 page not found\n', { headers: { ...NO_SNIFFING, ...UNKNOWN_PATH } })
  }

  /** A path that cannot be decoded. */
  badRequest(asked: Reply): void {
    this.send(asked, 400, TEXT_TYPE, '400 Bad Request', { isRead: false })
  }
}

export const errorBody = (text: string): string => `{\n  "error": ${goString(text)}\n}`
