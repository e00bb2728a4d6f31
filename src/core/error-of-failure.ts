import { CastellanError, type ErrorCode, KafkaError } from './errors.js'

/** The fields of a failed request from which its error is made. */
interface Failed {
  readonly code: ErrorCode
  readonly errorCode?: number | undefined
  readonly message: string
  readonly retriable: boolean
  readonly setting?: string | undefined
}

/** The error for a request that failed, with all that is known of it. @param message in place of its own */
export const errorOfFailure = (
  { code, errorCode, retriable, setting, ...failed }: Failed,
  message = failed.message
): CastellanError =>
  code === 'kafka' && errorCode !== undefined
    ? new KafkaError(errorCode, message, retriable)
    : new CastellanError(code, message, retriable, undefined, setting)
