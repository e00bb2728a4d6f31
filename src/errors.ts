/** What happened. Dialects translate every one of these; a new one does not compile until each of them has decided. */
export type ErrorCode =
  | 'invalidRequest'
  | 'invalidTopic'
  | 'invalidConfig'
  | 'recordTooLarge'
  | 'recordRejected'
  | 'batchTooLarge'
  | 'unknownTopic'
  | 'unknownPartition'
  | 'notAuthorized'
  | 'authenticationFailed'
  | 'unauthenticated'
  | 'forbidden'
  | 'quotaExceeded'
  | 'issuerUnreachable'
  | 'overloaded'
  | 'shuttingDown'
  | 'brokerUnreachable'
  | 'clusterChanged'
  | 'noLeader'
  | 'timedOut'
  | 'protocol'
  | 'kafka'

/** Base of all failures. The class says who must act, the code what happened, the message what to do. */
export class CastellanError extends Error {
  override readonly name: string = 'CastellanError'
  readonly code: ErrorCode
  readonly retriable: boolean

  constructor(code: ErrorCode, message: string, retriable: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.retriable = retriable
  }
}

/** The caller is wrong; asking again the same way cannot succeed. */
export class InvalidRequestError extends CastellanError {
  override readonly name = 'InvalidRequestError'
  constructor(message: string, code: ErrorCode = 'invalidRequest') {
    super(code, message, false)
  }
}

/** We are full or leaving; the same request may succeed later. Names the limit and its setting. */
export class OverloadedError extends CastellanError {
  override readonly name = 'OverloadedError'
  constructor(message: string, code: 'overloaded' | 'shuttingDown' = 'overloaded') {
    super(code, message, true)
  }
}

/** The client did not prove who it is: HTTP's 401. The message names no credential. */
export class UnauthenticatedError extends CastellanError {
  override readonly name = 'UnauthenticatedError'
  /** The value of `WWW-Authenticate`. */
  readonly challenge: string
  constructor(message: string, challenge: string) {
    super('unauthenticated', message, false)
    this.challenge = challenge
  }
}

/** The client is known and may not do this: HTTP's 403. */
export class ForbiddenError extends CastellanError {
  override readonly name = 'ForbiddenError'
  constructor(message: string) {
    super('forbidden', message, false)
  }
}

/** The client has used up its quota: HTTP's 429. The same request succeeds later. */
export class QuotaExceededError extends CastellanError {
  override readonly name = 'QuotaExceededError'
  /** The value of `Retry-After`; at least 1. */
  readonly retryAfterSeconds: number
  constructor(message: string, retryAfterSeconds: number) {
    super('quotaExceeded', message, true)
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** Kafka, or another service that is needed to answer, cannot be reached. */
export class UnavailableError extends CastellanError {
  override readonly name = 'UnavailableError'
  /** The reason without addresses and names, for those who may not know them. */
  readonly brief: string | undefined
  constructor(
    code: 'brokerUnreachable' | 'noLeader' | 'authenticationFailed' | 'issuerUnreachable',
    message: string,
    cause?: unknown,
    brief?: string
  ) {
    super(code, message, true, cause)
    this.brief = brief
  }
}

/** Nobody answered in time. What was asked may or may not have happened. */
export class TimedOutError extends CastellanError {
  override readonly name = 'TimedOutError'
  readonly timeoutMs: number
  constructor(what: string, timeoutMs: number) {
    super('timedOut', `${what} was not answered within ${timeoutMs} ms`, true)
    this.timeoutMs = timeoutMs
  }
}

/** The peer sent bytes that break the protocol. Its connection is closed. */
export class ProtocolError extends CastellanError {
  override readonly name = 'ProtocolError'
  constructor(message: string, cause?: unknown) {
    super('protocol', message, true, cause)
  }
}

/** The answer of a broker is larger than allowed. It is skipped, and the connection stays open. */
export class ResponseTooLargeError extends CastellanError {
  override readonly name = 'ResponseTooLargeError'
  constructor(message: string) {
    super('protocol', message, false)
  }
}

/** Kafka answered with an error code where a whole call depends on it. */
export class KafkaError extends CastellanError {
  override readonly name = 'KafkaError'
  /** Kafka's protocol error code, e.g. 35. */
  readonly errorCode: number
  constructor(errorCode: number, message: string, retriable: boolean) {
    super('kafka', message, retriable)
    this.errorCode = errorCode
  }
}

/** The operator's configuration cannot be used; lists every problem found. */
export class ConfigError extends CastellanError {
  override readonly name = 'ConfigError'
  constructor(message: string) {
    super('invalidConfig', message, false)
  }
}
