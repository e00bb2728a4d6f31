import type { ErrorCode } from '../../core/errors.js'
import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'

/** The answer to a failure: Kafka's error number, or a word where Kafka has no number. */
interface NumberedFailure {
  readonly error: number | string
  readonly status: 502 | 503 | 504
}

const refused = (error: number | string): NumberedFailure => ({ error, status: 502 })
const away = (error: number | string): NumberedFailure => ({ error, status: 503 })

/** No broker can be reached: the word is ekaf's. */
const downtime = away('downtime')

/** 502: Kafka or the gateway refuses the record. 503: a retry may succeed soon. 504: Kafka did not answer in time. */
const byCode = {
  invalidRequest: refused('invalid'),
  invalidTopic: refused(errorCodes.INVALID_TOPIC_EXCEPTION),
  invalidConfig: refused('invalid'),
  recordTooLarge: refused(errorCodes.MESSAGE_TOO_LARGE),
  recordRejected: refused(errorCodes.INVALID_RECORD),
  batchTooLarge: refused(errorCodes.MESSAGE_TOO_LARGE),
  unknownTopic: refused(errorCodes.UNKNOWN_TOPIC_OR_PARTITION),
  unknownPartition: refused(errorCodes.UNKNOWN_TOPIC_OR_PARTITION),
  notAuthorized: refused(errorCodes.TOPIC_AUTHORIZATION_FAILED),
  authenticationFailed: downtime,
  unauthenticated: refused('unauthenticated'),
  forbidden: refused('forbidden'),
  quotaExceeded: away('quota exceeded'),
  issuerUnreachable: downtime,
  registryUnreachable: downtime,
  logUnavailable: away('durable log unavailable'),
  overloaded: away('system queue full'),
  shuttingDown: away('shutting down'),
  peerAway: downtime,
  brokerUnreachable: downtime,
  clusterChanged: downtime,
  noLeader: away(errorCodes.LEADER_NOT_AVAILABLE),
  timedOut: { error: 'timeout', status: 504 },
  aborted: { error: 'timeout', status: 504 },
  protocol: refused(errorCodes.UNKNOWN_SERVER_ERROR),
  kafka: refused(errorCodes.UNKNOWN_SERVER_ERROR)
} as const satisfies Record<ErrorCode, NumberedFailure>

/** @param isReady whether any broker can be reached: a time-out without one is a downtime */
export function toldOf({ code, errorCode }: RecordFailure, isReady: boolean): NumberedFailure {
  if (code === 'timedOut' && !isReady) return downtime
  const told = byCode[code]
  return errorCode === undefined ? told : { ...told, error: errorCode }
}

const OK = '{"ok":true}'

/**
 * All records were delivered: the answer is one object, or no object for keyed records, which ekaf sends one by one. Otherwise
 * it has one object per record, in their order.
 *
 *   [delivered, failed with MESSAGE_TOO_LARGE]   =>   502 [{"ok":true},{"error":10}]
 */
export function syncAnswerOf(
  outcomes: readonly RecordOutcome[],
  isKeyed: boolean,
  isReady: boolean
): { readonly status: number; readonly body: string } {
  let status: number | undefined
  const entries = outcomes.map(outcome => {
    if (outcome.type === 'delivered') return OK
    const told = toldOf(outcome, isReady)
    status ??= told.status
    return errorJson(told.error)
  })
  if (status === undefined) return { status: 200, body: isKeyed ? '[]' : `[${OK}]` }
  return { status, body: `[${entries.join(',')}]` }
}

export const errorJson = (error: number | string): string => `{"error":${JSON.stringify(error)}}`
