import { CastellanError, type ErrorCode } from '../core/errors.js'
import type { KafkaErrorName } from '../kafka/error-codes.js'

/** `TOPIC_ALREADY_EXISTS` => `topicAlreadyExists` */
type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${Lowercase<First>}${Capitalize<CamelCase<Rest>>}`
  : Lowercase<Name>

/** Kafka's name of its error, or a code of Castellan if Kafka has not answered. `kafka`: the error has no name here. */
export type AdminErrorCode = CamelCase<KafkaErrorName> | ErrorCode | 'superseded'

declare module '../core/errors.js' {
  interface CastellanErrorCodes extends Record<AdminErrorCode, true> {}
}

/** Parts of an AdminError. */
interface AdminFailure {
  readonly code: AdminErrorCode
  readonly errorCode: number | undefined
  readonly message: string
  readonly retriable: boolean
  readonly setting?: string | undefined
  readonly cause?: unknown
}

/** A call of `castellan.admin` has failed. For several names, `code` is that of the first one that failed. */
export class AdminError extends CastellanError {
  override readonly name = 'AdminError'
  declare readonly code: AdminErrorCode
  /** Kafka's protocol error code; `undefined`: no broker has answered with an error. */
  readonly errorCode: number | undefined
  /** For a call with a list: the error of each name that failed. A partition has a name such as `orders/0`. */
  readonly errors: ReadonlyMap<string, AdminError>

  constructor(
    { code, errorCode, message, retriable, setting, cause }: AdminFailure,
    errors: ReadonlyMap<string, AdminError> = new Map()
  ) {
    super(code, message, retriable, cause, setting)
    this.errorCode = errorCode
    this.errors = errors
  }
}
