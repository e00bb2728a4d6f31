import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { CastellanError, ErrorCode } from '../../core/errors.js'
import { exactTimestamp } from '../../core/instants.js'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import { type InPieces, joined } from '../../core/loop-turns.js'
import type { RecordOutcome } from '../../core/model.js'
import { type Certainty, certaintyOf } from '../../verbs/persisted.js'
import type { PendingProduce } from '../../verbs/verbs.js'

/**
 * A client that accepts this gets the same answers from every API: the outcome of each record, or a problem document.
 */
export const MODERN_TYPE = 'application/vnd.castellan.v1+json'

export const wantsModern = ({ headers: { accept } }: IncomingMessage): boolean => accept?.includes(MODERN_TYPE) === true

export const JSON_TYPE = 'application/json'
/** Source: RFC 9457. */
export const PROBLEM_TYPE = 'application/problem+json'

/** The state of a record when its request is answered; `pending`: it was accepted. */
export type OutcomeSoFar = RecordOutcome | 'pending'

/** An answer in the place of the API's own. */
export interface ModernAnswer<Body = string> {
  readonly status: number
  readonly type: string
  readonly body: Body
}

export const MULTI_STATUS = 207

/**
 * One entry per record, in their order:
 *
 *   {"records":[{"partition":0,"offset":7,"timestamp":1795206744016},{"error":{"code":"timedOut","message":"…","persisted":"unknown","retriable":true}}]}
 *
 * 200: all are in Kafka. 202: all are accepted. 207: they differ, or have failed.
 */
export function* outcomesAnswer(known: readonly OutcomeSoFar[]): InPieces<ModernAnswer<string | Buffer>> {
  const body = yield* joined('{"records":[', known, one => JSON.stringify(entryOf(one)), ']}')
  return { status: statusOf(known), type: MODERN_TYPE, body }
}

function statusOf(known: readonly OutcomeSoFar[]): number {
  if (known.every(one => one !== 'pending' && one.type === 'delivered')) return 200
  return known.every(one => one === 'pending') ? 202 : MULTI_STATUS
}

function entryOf(known: OutcomeSoFar): object {
  if (known === 'pending') return { persisted: 'pending' }
  if (known.type === 'delivered') {
    return { partition: known.partition, offset: known.offset, timestamp: exactTimestamp(known.timestampMs) }
  }
  const { code, message, persisted, retriable } = known
  return { error: { code, message, persisted, retriable } }
}

export const certaintyOfKnown = (known: OutcomeSoFar): Certainty =>
  known === 'pending' ? 'pending' : certaintyOf(known)

/** The known outcomes of records that were handed on, of which some were refused at once. */
export const knownOfAccepted = (records: number, refused: PendingProduce['refused']): readonly OutcomeSoFar[] =>
  Array.from({ length: records }, (_, at): OutcomeSoFar => refused?.[at] ?? 'pending')

/** Calls back when all records have their outcomes. @param settled gets `undefined` where all were delivered; does not throw */
export function whenSettled(
  pending: PendingProduce,
  settled: (outcomes: readonly RecordOutcome[] | undefined) => void
): void {
  if (pending.whenSettled !== undefined) pending.whenSettled(settled)
  // The request is answered by those who wait for the same promise.
  else pending.outcomes().then(settled, () => undefined)
}

/** The status of a problem document, where an API has no other. */
export const statusByCode: Readonly<Record<ErrorCode, number>> = {
  invalidRequest: 400,
  invalidTopic: 400,
  invalidConfig: 500,
  recordTooLarge: 413,
  recordRejected: 422,
  batchTooLarge: 500,
  unknownTopic: 404,
  unknownPartition: 404,
  notAuthorized: 403,
  authenticationFailed: 503,
  unauthenticated: 401,
  forbidden: 403,
  quotaExceeded: 429,
  issuerUnreachable: 503,
  registryUnreachable: 503,
  overloaded: 503,
  logUnavailable: 503,
  shuttingDown: 503,
  peerAway: 503,
  brokerUnreachable: 503,
  clusterChanged: 502,
  noLeader: 503,
  timedOut: 504,
  aborted: 503,
  protocol: 502,
  kafka: 502
}

/** The code of a request that failed as a whole, by the status that every API answers for it. */
const codeByStatus = new Map<number, ErrorCode>([
  [401, 'unauthenticated'],
  [403, 'forbidden'],
  [408, 'timedOut'],
  [413, 'recordTooLarge'],
  [429, 'quotaExceeded'],
  [500, 'protocol'],
  [502, 'kafka'],
  [503, 'overloaded'],
  [504, 'timedOut']
])

/** The error code that a status alone suggests. */
export const codeOfStatus = (status: number): ErrorCode => codeByStatus.get(status) ?? 'invalidRequest'

const RETRIABLE: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

/** Why a request fails. */
export interface Cause {
  readonly code: CastellanError['code']
  readonly retriable: boolean
}

/**
 * @param body the API's own words, which become the detail
 * @param persisted `undefined`: the request produces nothing
 * @param cause absent: follows from the status
 * @param further members of the API's own
 */
export function problemAnswer(
  status: number,
  body: string,
  persisted: string | undefined,
  cause?: Cause,
  further?: object
): ModernAnswer {
  const problem = {
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    ...(body !== '' && { detail: detailOf(body) }),
    code: cause?.code ?? codeOfStatus(status),
    ...(persisted !== undefined && { persisted }),
    retriable: cause?.retriable ?? RETRIABLE.has(status),
    ...further
  }
  return { status, type: PROBLEM_TYPE, body: JSON.stringify(problem) }
}

/** The text of an API's error: of JSON its `error` or `message`, else all of it. */
function detailOf(body: string): string {
  if (!body.startsWith('{') || body.length > MAX_PARSED_BYTES) return body
  const { error, message }: { error?: unknown; message?: unknown } = JSON.parse(body)
  return typeof error === 'string' ? error : typeof message === 'string' ? message : body
}
