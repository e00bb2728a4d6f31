import type { z } from 'zod'
import type { Shares } from '../../core/shares.js'
import { type EndpointBase, withBytes } from '../../http/api/endpoint.js'
import { BufferPool } from '../../http/exchange/body-collector.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { ProblemError, type StrimziAnswers, schemaProblem, V2_TYPE } from './strimzi-answers.js'

/** The parts that every endpoint is created with. */
export interface EndpointParts extends EndpointBase {
  readonly answers: StrimziAnswers
  /** Requests that wait for Kafka, by client. */
  readonly lookUps: Shares
  readonly pool: BufferPool
}

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024
export const bodyPool = (): BufferPool => new BufferPool(POOL_BYTES)

export const BAD_TYPE = new ProblemError(400, 'Validation error on: The format of the request body is not supported')

/** @returns the media type in lower case, without parameters; `undefined`: there is none */
export const mediaTypeOf = ({ request: { headers } }: Exchange): string | undefined =>
  headers['content-type']?.replace(/;.*$/, '').trim().toLowerCase()

/** Bodies that are no records are small. */
const MAX_BYTES = 1024 * 1024

function withSmallBody(parts: EndpointParts, exchange: Exchange, use: (bytes: Buffer) => void): void {
  const message = `the body is larger than ${MAX_BYTES} bytes (the limit of requests without records)`
  const tooLarge = (): void => parts.answers.problem(exchange, { status: 413, message }, { isRead: false })
  withBytes(parts, exchange, MAX_BYTES, tooLarge, use)
}

/** Reads a body of JSON of one media type. No body at all is passed on as `undefined`. */
export function withJson(parts: EndpointParts, exchange: Exchange, type: string, use: (json: unknown) => void): void {
  if (hasBody(exchange) && mediaTypeOf(exchange) !== type) {
    parts.answers.problem(exchange, BAD_TYPE.problem, { isRead: false })
    return
  }
  withSmallBody(parts, exchange, bytes => use(bytes.length === 0 ? undefined : jsonIn(bytes.toString())))
}

/** Reads a body that says nothing, which some clients send with a DELETE, and drops it. */
export function withoutBody(parts: EndpointParts, exchange: Exchange, run: () => void): void {
  const isTaken = [undefined, 'application/json', V2_TYPE].includes(mediaTypeOf(exchange))
  if (!hasBody(exchange)) run()
  else if (isTaken) withSmallBody(parts, exchange, run)
  else parts.answers.problem(exchange, BAD_TYPE.problem, { isRead: false })
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ProblemError(400, 'Validation error on: the body is not JSON')
  }
}

/** @throws ProblemError naming what the schema does not allow */
export function checked<Value>(json: unknown, schema: z.ZodType<Value>): Value {
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

/** A partition in a path. @throws ProblemError */
export function partitionIn(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw schemaProblem(wrongType('string', 'integer'))
  return Number(text)
}
