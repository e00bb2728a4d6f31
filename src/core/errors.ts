/**
 * The kinds of errors. Each API translates every code. After a new code is added, each API needs a translation of it to
 * compile.
 */
export const ERROR_CODES = [
  'invalidRequest',
  'invalidTopic',
  'invalidConfig',
  'recordTooLarge',
  'recordRejected',
  'batchTooLarge',
  'unknownTopic',
  'unknownPartition',
  'notAuthorized',
  'authenticationFailed',
  'unauthenticated',
  'forbidden',
  'quotaExceeded',
  'issuerUnreachable',
  'registryUnreachable',
  'overloaded',
  'logUnavailable',
  'shuttingDown',
  'peerAway',
  'brokerUnreachable',
  'clusterChanged',
  'noLeader',
  'timedOut',
  'aborted',
  'protocol',
  'kafka'
] as const
export type ErrorCode = (typeof ERROR_CODES)[number]

/** The codes of all errors, as names of its members. Where a class of errors has codes of its own, it adds them here. */
export interface CastellanErrorCodes extends Record<ErrorCode, true> {}

/** Base of all errors. The class says who has to act, the code says what happened, and the message says what to do. */
export class CastellanError extends Error {
  override readonly name: string = 'CastellanError'
  readonly code: keyof CastellanErrorCodes
  readonly retriable: boolean
  /** The setting whose limit or rule it is, such as `http.maxConnections`; `undefined`: it comes from none. */
  readonly setting: string | undefined

  constructor(code: keyof CastellanErrorCodes, message: string, retriable: boolean, cause?: unknown, setting?: string) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.retriable = retriable
    this.setting = setting
  }
}

/** The request is wrong: repeating it unchanged cannot succeed. */
export class InvalidRequestError extends CastellanError {
  override readonly name = 'InvalidRequestError'
  declare readonly code: ErrorCode
  constructor(message: string, code: ErrorCode = 'invalidRequest') {
    super(code, message, false)
  }
}

/** The body of a request cannot be decoded: HTTP's 415, or 400 where its bytes are broken. */
export class UnreadableBodyError extends CastellanError {
  override readonly name = 'UnreadableBodyError'
  declare readonly code: 'invalidRequest'
  readonly status: 400 | 415 | 501
  /** The value of `Accept-Encoding`, which names what can be decoded. */
  readonly accepted: string | undefined
  constructor(status: 400 | 415 | 501, message: string, accepted?: string) {
    super('invalidRequest', message, false)
    this.status = status
    this.accepted = accepted
  }
}

/**
 * A limit is reached, or Castellan is shutting down. The same request may succeed later. The message names the limit
 * and its setting.
 */
export class OverloadedError extends CastellanError {
  override readonly name = 'OverloadedError'
  declare readonly code: 'overloaded' | 'shuttingDown'
  constructor(message: string, code: OverloadedError['code'] = 'overloaded', setting?: string) {
    // No stack is captured, because that takes 6 % of the time of a refusal, and an overloaded process refuses many
    // requests.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(code, message, true, undefined, setting)
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** The client did not prove its identity: HTTP's 401. The message contains no credential. */
export class UnauthenticatedError extends CastellanError {
  override readonly name = 'UnauthenticatedError'
  declare readonly code: 'unauthenticated'
  /** The value of `WWW-Authenticate`. */
  readonly challenge: string
  constructor(message: string, challenge: string) {
    super('unauthenticated', message, false)
    this.challenge = challenge
  }
}

/** The client is authenticated but not authorized: HTTP's 403. */
export class ForbiddenError extends CastellanError {
  override readonly name = 'ForbiddenError'
  declare readonly code: 'forbidden'
  constructor(message: string, setting?: string) {
    super('forbidden', message, false, undefined, setting)
  }
}

/** The client has used up its quota: HTTP's 429. The same request may succeed later. */
export class QuotaExceededError extends CastellanError {
  override readonly name = 'QuotaExceededError'
  declare readonly code: 'quotaExceeded'
  /** The value of `Retry-After`; at least 1. */
  readonly retryAfterSeconds: number
  constructor(message: string, retryAfterSeconds: number, setting?: string) {
    super('quotaExceeded', message, true, undefined, setting)
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** Kafka, or another service that the answer depends on, cannot be reached. */
export class UnavailableError extends CastellanError {
  override readonly name = 'UnavailableError'
  declare readonly code:
    | 'brokerUnreachable'
    | 'noLeader'
    | 'authenticationFailed'
    | 'issuerUnreachable'
    | 'logUnavailable'
  /** The reason without addresses and names, for clients that must not see them. */
  readonly brief: string | undefined
  constructor(code: UnavailableError['code'], message: string, cause?: unknown, brief?: string) {
    super(code, message, true, cause)
    this.brief = brief
  }
}

/** There was no answer within the time limit. The request may or may not have been carried out. */
export class TimedOutError extends CastellanError {
  override readonly name = 'TimedOutError'
  declare readonly code: 'timedOut'
  readonly timeoutMs: number
  /** @param reason the last known cause */
  constructor(what: string, timeoutMs: number, reason?: string) {
    super(
      'timedOut',
      `${what} was not answered within ${timeoutMs} ms${reason === undefined ? '' : `: ${reason}`}`,
      true
    )
    this.timeoutMs = timeoutMs
  }
}

/** The peer sent bytes that violate the protocol. Its connection is closed. */
export class ProtocolError extends CastellanError {
  override readonly name = 'ProtocolError'
  declare readonly code: 'protocol'
  constructor(message: string, cause?: unknown) {
    super('protocol', message, true, cause)
  }
}

/** The answer of a broker is larger than allowed. It is skipped, and the connection stays open. */
export class ResponseTooLargeError extends CastellanError {
  override readonly name = 'ResponseTooLargeError'
  declare readonly code: 'protocol'
  constructor(message: string) {
    super('protocol', message, false)
  }
}

/** Kafka answered a whole call with one error code. */
export class KafkaError extends CastellanError {
  override readonly name = 'KafkaError'
  declare readonly code: 'kafka'
  /** Kafka's protocol error code, e.g. 35. */
  readonly errorCode: number
  constructor(errorCode: number, message: string, retriable: boolean) {
    super('kafka', message, retriable)
    this.errorCode = errorCode
  }
}

/** The configuration cannot be used; the message lists every problem found. */
export class ConfigError extends CastellanError {
  override readonly name = 'ConfigError'
  declare readonly code: 'invalidConfig'
  constructor(message: string, cause?: unknown) {
    super('invalidConfig', message, false, cause)
  }
}

/**
 * An error that bytes of a client may cause a hundred thousand times a second, such as a record that cannot be read. No
 * stack is captured, because that takes much longer than reading a record.
 */
export class StacklessError extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
  }
}
