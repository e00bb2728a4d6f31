import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, type ErrorCode, KafkaError } from '../../core/errors.js'
import { isLegalTopicName, type RecordFailure } from '../../core/model.js'
import { recordRefusal } from '../../core/refusals.js'
import { ApiError, type ErrorDetails } from '../../http/api/api-answers.js'
import { codeOfStatus } from '../../http/exchange/modern-answers.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import { FAILURE_LASTS_MS } from '../../schemas/remembered.js'

/** The version of the API that a route belongs to; it decides the type of its answers, and codes of errors. */
export type Version = 'v2' | 'v3'

/** A record that is refused before Kafka is asked. */
export interface RefusedRecord extends RecordFailure {
  /** Confluent's code for the reason. */
  readonly answerCode: number
}

export function refusedRecord(answerCode: number, message: string, reason = reasonOf(answerCode)): RefusedRecord {
  return { ...recordRefusal(reason, message, RETRIABLE.has(reason)), answerCode }
}

/** Reasons for which a request that produces nothing may succeed later. */
export const RETRIABLE: ReadonlySet<ErrorCode> = new Set([
  'overloaded',
  'quotaExceeded',
  'registryUnreachable',
  'timedOut'
])

/** A schema registry that is away is not asked before. */
export const RETRY_OF_REGISTRY = { 'retry-after': String(Math.ceil(FAILURE_LASTS_MS / 1_000)) }

export const UNAUTHENTICATED = 40101
export const UNAUTHORIZED = 40301
export const TOPIC_NOT_FOUND = 40401
export const PARTITION_NOT_FOUND = 40402
/** The code of version 3 for a topic that Kafka does not have, where no record is produced. */
export const KAFKA_UNKNOWN = 40403
export const KAFKA_REFUSES = 40002
/** Code for a feature that this Kafka does not have. */
const UNSUPPORTED_BY_KAFKA = 40035
const KAFKA_ERROR = 50002
const RETRIABLE_KAFKA_ERROR = 50003

type Code = number | 'byRetriable'

/** Confluent's codes for failed records. `byRetriable`: 50003 where a retry may help, else 50002. */
const codes: Readonly<Record<ErrorCode, { readonly v2: Code; readonly v3: Code }>> = {
  invalidRequest: { v2: KAFKA_ERROR, v3: 400 },
  invalidTopic: { v2: TOPIC_NOT_FOUND, v3: TOPIC_NOT_FOUND },
  invalidConfig: { v2: KAFKA_ERROR, v3: KAFKA_REFUSES },
  recordTooLarge: { v2: KAFKA_ERROR, v3: 413 },
  recordRejected: { v2: KAFKA_ERROR, v3: KAFKA_REFUSES },
  batchTooLarge: { v2: KAFKA_ERROR, v3: 413 },
  unknownTopic: { v2: TOPIC_NOT_FOUND, v3: TOPIC_NOT_FOUND },
  // Version 3 has no code of its own for a partition that is too high.
  unknownPartition: { v2: PARTITION_NOT_FOUND, v3: TOPIC_NOT_FOUND },
  notAuthorized: { v2: UNAUTHORIZED, v3: UNAUTHORIZED },
  authenticationFailed: { v2: UNAUTHENTICATED, v3: UNAUTHENTICATED },
  unauthenticated: { v2: UNAUTHENTICATED, v3: UNAUTHENTICATED },
  forbidden: { v2: UNAUTHORIZED, v3: UNAUTHORIZED },
  quotaExceeded: { v2: RETRIABLE_KAFKA_ERROR, v3: 429 },
  issuerUnreachable: { v2: RETRIABLE_KAFKA_ERROR, v3: 503 },
  registryUnreachable: { v2: RETRIABLE_KAFKA_ERROR, v3: 503 },
  overloaded: { v2: RETRIABLE_KAFKA_ERROR, v3: 503 },
  logUnavailable: { v2: RETRIABLE_KAFKA_ERROR, v3: 503 },
  shuttingDown: { v2: RETRIABLE_KAFKA_ERROR, v3: 503 },
  peerAway: { v2: RETRIABLE_KAFKA_ERROR, v3: 503 },
  brokerUnreachable: { v2: RETRIABLE_KAFKA_ERROR, v3: RETRIABLE_KAFKA_ERROR },
  clusterChanged: { v2: RETRIABLE_KAFKA_ERROR, v3: RETRIABLE_KAFKA_ERROR },
  noLeader: { v2: RETRIABLE_KAFKA_ERROR, v3: RETRIABLE_KAFKA_ERROR },
  timedOut: { v2: RETRIABLE_KAFKA_ERROR, v3: RETRIABLE_KAFKA_ERROR },
  aborted: { v2: RETRIABLE_KAFKA_ERROR, v3: RETRIABLE_KAFKA_ERROR },
  protocol: { v2: 'byRetriable', v3: 'byRetriable' },
  kafka: { v2: 'byRetriable', v3: 'byRetriable' }
}

/** The reason with which a refused record is counted, by Confluent's code. */
export function reasonOf(code: number): ErrorCode {
  if (code === TOPIC_NOT_FOUND) return 'unknownTopic'
  if (code === PARTITION_NOT_FOUND) return 'unknownPartition'
  // Codes of five digits begin with a status.
  return codeOfStatus(code < 1_000 ? code : Math.floor(code / 100))
}

/** Codes of the client's own mistakes: 400, 40401. */
const isClients = (code: number): boolean => String(code).startsWith('4')

/**
 * The code of a record that failed. Codes that begin with 4 say that the record is not written: one that may be, or that
 * stays in the durable log, has another one.
 */
export function recordCodeOf(failure: RecordFailure | RefusedRecord, version: Version): number {
  if ('answerCode' in failure) return failure.answerCode
  const { code, retriable, persisted } = failure
  const byRetriable = retriable || persisted === 'pending' ? RETRIABLE_KAFKA_ERROR : KAFKA_ERROR
  const found = codes[code][version]
  return found === 'byRetriable' || (isClients(found) && persisted !== 'no') ? byRetriable : found
}

export const noTopicText = (topic: string): string =>
  isLegalTopicName(topic) ? `there is no topic ${topic}` : `${JSON.stringify(topic)} is not a legal topic name`

/** Errors of Kafka that the client can mend: they are answered 400. */
const CLIENTS_OWN = codesOf(
  'TOPIC_ALREADY_EXISTS',
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_REPLICA_ASSIGNMENT',
  'INVALID_CONFIG',
  'INVALID_REQUEST',
  'POLICY_VIOLATION',
  'SECURITY_DISABLED',
  'TOPIC_DELETION_DISABLED'
)
/** The group is of another kind, or has members. */
const GROUP_IS_OTHERWISE = codesOf('INCONSISTENT_GROUP_PROTOCOL', 'NON_EMPTY_GROUP')
const DENIED = codesOf('TOPIC_AUTHORIZATION_FAILED', 'GROUP_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED')

/**
 * The answer to a request that is no produce request, and that failed in the gateway.
 *
 * @param topic that the request names. Texts of Kafka do not name it: "This server does not host this topic-partition."
 */
export function problemOf(error: CastellanError, topic?: string): ApiError {
  const { status, code, message } = answerOf(error, topic)
  return new ApiError(status, message, { code, cause: { code: errorCodeOf(error), retriable: error.retriable } })
}

/** The same error with other details. */
export const detailed = ({ status, message, details }: ApiError, changed: ErrorDetails): ApiError =>
  new ApiError(status, message, { ...details, ...changed })

interface StatusAndCode {
  readonly status: number
  readonly code: number
  readonly message: string
}

function answerOf(error: CastellanError, topic: string | undefined): StatusAndCode {
  const { message, code } = error
  if (error instanceof KafkaError) {
    if (error.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) {
      return { status: 404, code: KAFKA_UNKNOWN, message: topic === undefined ? message : noTopicText(topic) }
    }
    if (CLIENTS_OWN.has(error.errorCode)) return { status: 400, code: KAFKA_REFUSES, message }
    if (DENIED.has(error.errorCode)) return { status: 403, code: UNAUTHORIZED, message }
    if (GROUP_IS_OTHERWISE.has(error.errorCode)) return { status: 409, code: 409, message }
    if (error.errorCode === errorCodes.GROUP_ID_NOT_FOUND) return { status: 404, code: 404, message }
    if (error.errorCode === errorCodes.UNSUPPORTED_VERSION) return { status: 400, code: UNSUPPORTED_BY_KAFKA, message }
  }
  if (code === 'unknownTopic' || code === 'invalidTopic') return { status: 404, code: TOPIC_NOT_FOUND, message }
  // A number or a text that Kafka's protocol cannot express: Kafka was not asked.
  if (code === 'invalidRequest') return { status: 400, code: KAFKA_REFUSES, message }
  if (code === 'unknownPartition') return { status: 404, code: PARTITION_NOT_FOUND, message }
  if (code === 'notAuthorized' || code === 'forbidden') return { status: 403, code: UNAUTHORIZED, message }
  if (code === 'authenticationFailed') return { status: 401, code: UNAUTHENTICATED, message }
  if (code === 'quotaExceeded') return { status: 429, code: 429, message }
  if (code === 'recordTooLarge') return { status: 413, code: 413, message }
  return { status: 500, code: error.retriable ? RETRIABLE_KAFKA_ERROR : KAFKA_ERROR, message }
}

/** The answer to a request that has failed; `undefined`: by a bug. @param topic see {@link problemOf} */
export function failedProblemOf(error: unknown, topic?: string): ApiError | undefined {
  if (error instanceof ApiError) return error
  return error instanceof CastellanError ? problemOf(error, topic) : undefined
}
