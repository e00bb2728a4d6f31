import type { ErrorCode } from '../errors.js'
import type { Persisted, RecordFailure } from '../operations.js'
import { kafkaErrorOf } from '../wire/error-codes.js'

const failure = (code: ErrorCode, message: string, retriable: boolean, persisted: Persisted = 'no'): RecordFailure => ({
  type: 'failed',
  code,
  errorCode: undefined,
  message,
  persisted,
  retriable
})

/** Every way a record can fail, in one place. Those without `persisted` happen before anything was sent. */
export const failures = {
  invalidTopic: (topic: string) => failure('invalidTopic', `${JSON.stringify(topic)} is not a legal topic name`, false),
  unknownTopic: (topic: string, persisted: Persisted = 'no') => ({
    ...failure('unknownTopic', `the topic ${topic} does not exist`, true, persisted),
    errorCode: 3
  }),
  unknownPartition: (topic: string, partition: number | undefined, persisted: Persisted = 'no') =>
    failure('unknownPartition', `the topic ${topic} has no partition ${partition}`, false, persisted),
  invalid: (message: string) => failure('invalidRequest', message, false),
  recordTooLarge: (sizeBytes: number, maxBytes: number) =>
    failure('recordTooLarge', `the record has ${sizeBytes} bytes, more than ${maxBytes}`, false),
  overloaded: (what: string, limitBytes: number, setting: string) =>
    failure('overloaded', `${what} full (limit ${limitBytes}; ${setting})`, true),
  shuttingDown: (persisted: Persisted = 'no') => failure('shuttingDown', 'shutting down', true, persisted),
  bug: (persisted: Persisted) => failure('protocol', 'castellan met a bug; the log tells more', false, persisted),
  timedOut: (what: string, persisted: Persisted) =>
    failure('timedOut', `the record was not delivered in time: ${what}`, true, persisted),
  rejected: (errorCode: number, persisted: Persisted): RecordFailure => {
    const { message, retriable } = kafkaErrorOf(errorCode)
    return { type: 'failed', code: errorCodeOf(errorCode), errorCode, message, persisted, retriable }
  }
} as const

/** Whose mistake it is, for the codes with which Kafka refuses records for good. */
function errorCodeOf(kafkaCode: number): ErrorCode {
  switch (kafkaCode) {
    case 3:
      return 'unknownTopic'
    case 10:
    case 18:
      return 'recordTooLarge'
    case 17:
      return 'invalidTopic'
    case 29:
    case 31:
    case 53:
      return 'notAuthorized'
    case 32:
    case 44:
    case 76:
    case 87:
      return 'recordRejected'
    default:
      return 'kafka'
  }
}
