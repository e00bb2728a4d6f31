import type { ErrorCode } from '../../core/errors.js'
import type { RecordFailure } from '../../core/model.js'
import { recordRefusal } from '../../core/refusals.js'
import { errorCodes } from '../../kafka/error-codes.js'

/** An error of the client library of kprf: its text, and its number in the metrics. */
export interface ClientError {
  /** `UnknownTopic (Local: Unknown topic)`. */
  readonly text: string
  readonly number: number
}

const timedOut: ClientError = { text: 'MessageTimedOut (Local: Message timed out)', number: -192 }
const unknown: ClientError = { text: 'Unknown (Unknown broker error)', number: -1 }

const queueFull: ClientError = { text: 'QueueFull (Local: Queue full)', number: -184 }
/** The `message` of a record beyond a rate limit. */
const RATE_LIMITED = 'ratelimit'
export const messageTooLarge: ClientError = {
  text: 'MessageSizeTooLarge (Broker: Message size too large)',
  number: 10
}

/**
 * The errors of kprf's answers by Castellan's codes. Names of rdkafka, texts of librdkafka 1.6.0.
 *
 * Source: rdkafka-sys 3.0.0+1.6.0, src/helpers.rs and librdkafka/src/rdkafka.c (rd_kafka_err_descs).
 */
const byCode = {
  invalidRequest: { text: 'InvalidArgument (Local: Invalid argument or configuration)', number: -186 },
  invalidTopic: { text: 'InvalidTopic (Broker: Invalid topic)', number: 17 },
  invalidConfig: { text: 'InvalidArgument (Local: Invalid argument or configuration)', number: -186 },
  recordTooLarge: messageTooLarge,
  recordRejected: { text: 'InvalidRecord (Broker: Broker failed to validate record)', number: 87 },
  // This error occurs when records are read, not when they are produced.
  batchTooLarge: messageTooLarge,
  unknownTopic: { text: 'UnknownTopic (Local: Unknown topic)', number: -188 },
  unknownPartition: { text: 'UnknownPartition (Local: Unknown partition)', number: -190 },
  notAuthorized: { text: 'TopicAuthorizationFailed (Broker: Topic authorization failed)', number: 29 },
  authenticationFailed: { text: 'Authentication (Local: Authentication failure)', number: -169 },
  unauthenticated: { text: 'Authentication (Local: Authentication failure)', number: -169 },
  forbidden: { text: 'TopicAuthorizationFailed (Broker: Topic authorization failed)', number: 29 },
  quotaExceeded: queueFull,
  issuerUnreachable: { text: 'Authentication (Local: Authentication failure)', number: -169 },
  registryUnreachable: queueFull,
  overloaded: queueFull,
  logUnavailable: queueFull,
  peerAway: queueFull,
  // librdkafka's error for messages that it still holds when it is destroyed.
  shuttingDown: { text: 'PurgeQueue (Local: Purged in queue)', number: -152 },
  // librdkafka keeps messages for an absent broker or leader until they time out, so kprf has no other error for these.
  brokerUnreachable: timedOut,
  clusterChanged: timedOut,
  noLeader: timedOut,
  timedOut,
  aborted: timedOut,
  protocol: { text: 'BadMessage (Local: Bad message format)', number: -199 },
  kafka: unknown
} as const satisfies Record<ErrorCode, ClientError>

/** Codes with which a broker refuses records permanently. Retriable ones end as a time-out instead. */
const byBrokerCode = new Map<number, ClientError>([
  [errorCodes.CORRUPT_MESSAGE, { text: 'InvalidMessage (Broker: Invalid message)', number: 2 }],
  [errorCodes.MESSAGE_TOO_LARGE, messageTooLarge],
  [
    errorCodes.RECORD_LIST_TOO_LARGE,
    { text: 'MessageBatchTooLarge (Broker: Message batch larger than configured server segment size)', number: 18 }
  ],
  [errorCodes.INVALID_REQUIRED_ACKS, { text: 'InvalidRequiredAcks (Broker: Invalid required acks value)', number: 21 }],
  [errorCodes.TOPIC_AUTHORIZATION_FAILED, byCode.notAuthorized],
  [
    errorCodes.CLUSTER_AUTHORIZATION_FAILED,
    { text: 'ClusterAuthorizationFailed (Broker: Cluster authorization failed)', number: 31 }
  ],
  [errorCodes.INVALID_TIMESTAMP, { text: 'InvalidTimestamp (Broker: Invalid timestamp)', number: 32 }],
  [
    errorCodes.UNSUPPORTED_VERSION,
    { text: 'UnsupportedFeature (Local: Required feature not supported by broker)', number: -165 }
  ],
  [errorCodes.POLICY_VIOLATION, { text: 'PolicyViolation (Broker: Policy violation)', number: 44 }],
  [
    errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    {
      text: 'TransactionalIdAuthorizationFailed (Broker: Transactional Id authorization failed)',
      number: 53
    }
  ],
  [
    errorCodes.KAFKA_STORAGE_ERROR,
    { text: 'KafkaStorageError (Broker: Disk error when trying to access log file on disk)', number: 56 }
  ],
  [
    errorCodes.UNSUPPORTED_COMPRESSION_TYPE,
    { text: 'UnsupportedCompressionType (Broker: Unsupported compression type)', number: 76 }
  ],
  [errorCodes.INVALID_RECORD, byCode.recordRejected]
])

/** Failures whose text depends on the broker's code. */
const askBroker: ReadonlySet<ErrorCode> = new Set(['recordTooLarge', 'recordRejected', 'notAuthorized', 'kafka'])

export function toClientError({ code, errorCode }: RecordFailure): ClientError {
  const broker = errorCode !== undefined && askBroker.has(code) ? byBrokerCode.get(errorCode) : undefined
  return broker ?? byCode[code]
}

/** The errors of requests that are refused as a whole. */
export const recordRefusalOf = (code: ErrorCode): string =>
  code === 'quotaExceeded' ? RATE_LIMITED : toMessage(byCode[code])

/** A refusal before the queue. */
export const rateLimited = recordRefusal('quotaExceeded', 'beyond the rate limit of the topic', true)

/** Text for a record that was not produced because another record of its request was refused. */
export const purged = toMessage(byCode.shuttingDown)

export const failureText = (failure: RecordFailure): string =>
  failure === rateLimited ? RATE_LIMITED : toMessage(toClientError(failure))

export function toMessage(error: ClientError): string {
  return `Message production error: ${error.text}`
}
