import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, type ErrorCode } from '../../core/errors.js'
import type { Persisted, RecordFailure } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import type { TransactionError } from '../../core/transaction-error.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { CREATIONS_PER_SECOND } from '../../router/routing/refresh-schedule.js'

const failure = (code: ErrorCode, message: string, retriable: boolean, persisted: Persisted = 'no'): RecordFailure => ({
  type: 'failed',
  code,
  errorCode: undefined,
  message,
  persisted,
  retriable
})

/** Why a topic waits that no broker was asked to create. */
export const IN_TURNS = `brokers are asked for ${CREATIONS_PER_SECOND} new topics a second, and clients take turns`

/** Why a topic is not there yet: no broker was asked to create it, or none has answered yet. */
export const NOT_CREATED = {
  waits: IN_TURNS,
  begun: 'brokers were asked to create it, and none has told it yet'
} as const

const NO_CAUSE = { code: 'kafka', setting: undefined } as const

/** All failures of records. Those without the parameter `persisted` happen before anything is sent. */
export const failures = {
  invalidTopic: (topic: string) =>
    failure('invalidTopic', `${JSON.stringify(shortened(topic))} is not a legal topic name`, false),
  unknownTopic: (topic: string, persisted: Persisted = 'no') => ({
    ...failure('unknownTopic', `the topic ${topic} does not exist`, true, persisted),
    errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  }),
  unknownPartition: (topic: string, partition: number | undefined, persisted: Persisted = 'no') =>
    failure('unknownPartition', `the topic ${topic} has no partition ${partition}`, false, persisted),
  invalid: (message: string) => failure('invalidRequest', message, false),
  /** Castellan's own check, against `delivery.maxRecordBytes` for example. Kafka's refusal is `rejected`, which has its code. */
  exceedsRecordLimit: (sizeBytes: number, maxBytes: number) =>
    failure('recordTooLarge', `the record has ${sizeBytes} bytes, more than ${maxBytes}`, false),
  /** @param setting that raises the limit; absent: the limit is a constant @param told in the place of its name */
  overloaded: (what: string, limit: number, setting?: string, told = setting) => ({
    ...failure('overloaded', `${what} full (limit ${limit}${told === undefined ? '' : `; ${told}`})`, true),
    setting
  }),
  /** @param waiting topics for which all places are taken */
  tooManyNewTopics: (waiting: number) =>
    failure('overloaded', `${waiting} new topics wait already for their creation: ${IN_TURNS}`, true),
  notCreatedInTime: (topic: string, creation: keyof typeof NOT_CREATED) =>
    failure('overloaded', `the topic ${topic} was not created in time: ${NOT_CREATED[creation]}`, true),
  logUnavailable: (message: string, persisted: Persisted = 'no', setting?: string) => ({
    ...failure('logUnavailable', message, true, persisted),
    setting
  }),
  /** The record is in the durable log, and will be delivered after its request has been answered. */
  stillPending: (why: string, code: ErrorCode = 'timedOut') =>
    failure(code, `the record is not in kafka yet and stays in the durable log: ${why}`, true, 'pending'),
  /** The transaction of the record has failed, or aborts. `cause` of the error tells more than its own code, which is no code of a record. */
  ofTransaction: ({ message, retriable, cause }: TransactionError, persisted: Persisted): RecordFailure => {
    const { code, setting } = cause instanceof CastellanError ? cause : NO_CAUSE
    return { ...failure(errorCodeOf({ code }), message, retriable, persisted), setting }
  },
  shuttingDown: (persisted: Persisted = 'no') => failure('shuttingDown', 'shutting down', true, persisted),
  aborted: () => failure('aborted', 'the signal of its call was aborted before it was sent', true),
  bug: (persisted: Persisted) => failure('protocol', 'castellan met a bug; its log has the details', false, persisted),
  codecUnavailable: (message: string, persisted: Persisted) => failure('protocol', message, false, persisted),
  /** @param lastError why a broker could not be reached */
  timedOut: (what: string, persisted: Persisted, lastError?: string) => {
    const cause = lastError === undefined || what.includes(lastError) ? what : `${what}; last error: ${lastError}`
    return failure('timedOut', `the record was not delivered in time: ${cause}`, true, persisted)
  },
  /** @param words of the broker; without them, what its code says */
  rejected: (errorCode: number, persisted: Persisted, words?: string): RecordFailure => {
    const { message, retriable } = kafkaErrorOf(errorCode, words)
    return { type: 'failed', code: codeOfRefusal(errorCode), errorCode, message, persisted, retriable }
  }
} as const

/** Castellan's error code for a code with which Kafka refuses records for good. */
function codeOfRefusal(kafkaCode: number): ErrorCode {
  switch (kafkaCode) {
    case errorCodes.UNKNOWN_TOPIC_OR_PARTITION:
      return 'unknownTopic'
    case errorCodes.MESSAGE_TOO_LARGE:
    case errorCodes.RECORD_LIST_TOO_LARGE:
      return 'recordTooLarge'
    case errorCodes.INVALID_TOPIC_EXCEPTION:
      return 'invalidTopic'
    case errorCodes.TOPIC_AUTHORIZATION_FAILED:
    case errorCodes.CLUSTER_AUTHORIZATION_FAILED:
    case errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return 'notAuthorized'
    case errorCodes.INVALID_TIMESTAMP:
    case errorCodes.POLICY_VIOLATION:
    case errorCodes.UNSUPPORTED_COMPRESSION_TYPE:
    case errorCodes.INVALID_RECORD:
      return 'recordRejected'
    default:
      return 'kafka'
  }
}
