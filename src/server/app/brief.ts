import { CastellanError, type ErrorCode, UnavailableError } from '../../core/errors.js'

const byCode: Partial<Record<ErrorCode, string>> = {
  timedOut: 'no answer in time',
  protocol: 'what answers does not speak the Kafka protocol',
  kafka: 'the broker is too old or refuses the call'
}

/**
 * Why a broker cannot be reached, without addresses and names, since the health endpoint is public. The log has the
 * details.
 */
export function briefOf(error: Error): string {
  if (error instanceof UnavailableError && error.brief !== undefined) return error.brief
  return (error instanceof CastellanError ? byCode[error.code] : undefined) ?? 'see the log'
}
