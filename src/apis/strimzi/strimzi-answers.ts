import type { z } from 'zod'
import { errorCodeOf } from '../../core/error-code-of.js'
import { type CastellanError, type ErrorCode, KafkaError } from '../../core/errors.js'
import { MAX_PARSED_BYTES, parsedJson } from '../../core/json/parsed-json.js'
import { messageOf } from '../../core/node-errors.js'
import type { Shares } from '../../core/shares.js'
import { refusalStatus } from '../../http/access/access.js'
import { ApiError, type ErrorAnswer, ErrorAnswers } from '../../http/api/api-answers.js'
import { type EndpointBase, withBytes } from '../../http/api/endpoint.js'
import type { LongLists, MadeList } from '../../http/api/long-lists.js'
import { warningOf } from '../../http/exchange/answers.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import { type Exchange, hasBody, type Reply } from '../../http/exchange/exchange.js'
import { mediaTypeOf } from '../../http/exchange/media-types.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'

export const BRIDGE_TYPE = 'application/vnd.kafka.v2+json'
export type BridgeFormat = 'json' | 'binary' | 'text'
export const BRIDGE_TYPES: Readonly<Record<BridgeFormat, string>> = {
  json: 'application/vnd.kafka.json.v2+json',
  binary: 'application/vnd.kafka.binary.v2+json',
  text: 'application/vnd.kafka.text.v2+json'
}

/** Problems that the schema of a request finds. The bridge checks the schema before everything else. */
export const schemaProblem = (...validationErrors: string[]): ApiError =>
  new ApiError(400, 'Validation error on: Schema validation error', {
    members: { validation_errors: validationErrors }
  })

export const problemJson = (status: number, message: string, further?: object): object => ({
  error_code: status,
  message,
  ...further
})

export const bridgeProblemAnswer = ({ status, message, details: { members, headers } }: ApiError): ErrorAnswer => ({
  status,
  type: BRIDGE_TYPE,
  body: JSON.stringify(problemJson(status, message, members)),
  headers
})

export class StrimziAnswers extends ErrorAnswers {
  ok(asked: Reply, value: unknown): void {
    this.send(asked, 200, BRIDGE_TYPE, JSON.stringify(value))
  }

  long(asked: Reply, { body, held }: MadeList): void {
    this.send(asked, 200, BRIDGE_TYPE, body, typeof body === 'string' ? {} : { held })
  }

  object(asked: Reply, { body, held }: Partial<MadeList> & Pick<MadeList, 'body'>): void {
    this.send(asked, 200, BRIDGE_TYPE, body, { held })
  }

  protected write(error: ApiError): ErrorAnswer {
    return bridgeProblemAnswer(error)
  }

  protected toApiError(error: CastellanError): ApiError {
    return new ApiError(refusalStatus(error) ?? statusOf(error), error.message)
  }
}

const CLIENTS_OWN = codesOf(
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_CONFIG',
  'INVALID_REQUEST',
  'POLICY_VIOLATION'
)
const CONFLICTS = codesOf('TOPIC_ALREADY_EXISTS', 'INCONSISTENT_GROUP_PROTOCOL')
const DENIED = codesOf('TOPIC_AUTHORIZATION_FAILED', 'GROUP_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED')

const STATUSES: Readonly<Record<ErrorCode, number>> = {
  invalidRequest: 422,
  invalidTopic: 422,
  invalidConfig: 422,
  recordTooLarge: 413,
  recordRejected: 500,
  batchTooLarge: 500,
  unknownTopic: 404,
  unknownPartition: 404,
  notAuthorized: 403,
  authenticationFailed: 500,
  unauthenticated: 500,
  forbidden: 403,
  quotaExceeded: 429,
  issuerUnreachable: 500,
  registryUnreachable: 503,
  overloaded: 503,
  logUnavailable: 503,
  shuttingDown: 503,
  peerAway: 503,
  brokerUnreachable: 500,
  clusterChanged: 500,
  noLeader: 500,
  timedOut: 500,
  aborted: 500,
  protocol: 500,
  kafka: 500
}

function statusOf(error: CastellanError): number {
  if (error instanceof KafkaError) {
    const { errorCode } = error
    if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) return 404
    if (CONFLICTS.has(errorCode)) return 409
    if (CLIENTS_OWN.has(errorCode)) return 422
    if (DENIED.has(errorCode)) return 403
  }
  return STATUSES[errorCodeOf(error)]
}

export interface BridgeParts extends EndpointBase {
  readonly answers: StrimziAnswers
  /** Requests that wait for Kafka, by client. */
  readonly lookUps: Shares
  readonly longLists: LongLists
  readonly pool: BufferPool
}

export const BAD_TYPE = new ApiError(400, 'Validation error on: The format of the request body is not supported', {
  headers: warningOf(
    `records have the content-type ${Object.values(BRIDGE_TYPES).join(' or ')}, other bodies ${BRIDGE_TYPE}`
  )
})

/** @returns the media type in lower case, without parameters; `undefined`: there is none */
export const contentTypeOf = ({ request: { headers } }: Exchange): string | undefined =>
  headers['content-type'] === undefined ? undefined : mediaTypeOf(headers['content-type'])

/** Bodies that are no records are small. */
const TOO_LARGE = new ApiError(
  413,
  `the body is larger than ${MAX_PARSED_BYTES} bytes (the limit of requests without records)`
)

/** Reads a body of JSON of one media type. No body at all is passed on as `undefined`. */
export function withJson(parts: BridgeParts, exchange: Exchange, type: string, use: (json: unknown) => void): void {
  if (hasBody(exchange) && contentTypeOf(exchange) !== type) {
    parts.answers.fail(exchange, BAD_TYPE, false)
    return
  }
  const read = (bytes: Buffer): void => use(bytes.length === 0 ? undefined : jsonIn(bytes))
  withBytes(parts, exchange, MAX_PARSED_BYTES, TOO_LARGE, read)
}

/** Leaves a body unread that says nothing, which some clients send with a GET or a DELETE. */
export function withoutBody(parts: BridgeParts, exchange: Exchange, run: () => void): void {
  const isTaken = [undefined, 'application/json', BRIDGE_TYPE].includes(contentTypeOf(exchange))
  if (!hasBody(exchange) || isTaken) run()
  else parts.answers.fail(exchange, BAD_TYPE, false)
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return parsedJson(bytes)
  } catch (error) {
    throw notJson(messageOf(error))
  }
}

/** @param fault why it is not, as a clause */
export const notJson = (fault: string): ApiError =>
  new ApiError(400, `Validation error on: the body is not JSON: ${fault}`)

/** @throws ApiError naming what the schema does not allow */
export function validated<Value>(json: unknown, schema: z.ZodType<Value>): Value {
  const { data, error } = schema.safeParse(json, { reportInput: true })
  if (error === undefined) return data
  throw schemaProblem(...new Set(error.issues.flatMap(textsOf)))
}

/** The names of JSON Schema for what zod expects. */
const EXPECTED: Readonly<Record<string, string>> = { int: 'integer', number: 'integer', record: 'object' }

function textsOf(issue: z.core.$ZodIssue): string[] {
  const [property] = issue.path
  const where = property === undefined ? [] : [`Property "${String(property)}" does not match schema`]
  if (issue.code === 'unrecognized_keys') {
    return [
      ...where,
      ...issue.keys.map(key => `Property "${key.slice(0, 100)}" does not match additional properties schema`)
    ]
  }
  if (issue.code !== 'invalid_type') return [...where, issue.message]
  if (issue.input === undefined && property !== undefined) {
    return [`Instance does not have required property "${String(issue.path.at(-1))}"`]
  }
  return [...where, wrongType(typeOf(issue.input), EXPECTED[issue.expected] ?? issue.expected)]
}

export const wrongType = (type: string, expected: string): string =>
  `Instance type ${type} is invalid. Expected ${expected}`

const typeOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)

/** A partition in a path. @throws ApiError */
export function partitionNumberIn(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw schemaProblem(wrongType('string', 'integer'))
  return Number(text)
}
