import { z } from 'zod'
import { NOTHING } from '../../core/bytes.js'
import { type CastellanError, OverloadedError } from '../../core/errors.js'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import { addTo } from '../../core/maps.js'
import type { MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Access, AccessTarget } from '../../http/access/access.js'
import { ApiError } from '../../http/api/api-answers.js'
import { authorize } from '../../http/api/endpoint.js'
import type { LongLists } from '../../http/api/long-lists.js'
import { type BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import { type Exchange, endTurn, keepTurn } from '../../http/exchange/exchange.js'
import type { Decoding } from '../../schemas/record-json.js'
import type { VerbPath } from '../../verbs/facts.js'
import type { Verbs } from '../../verbs/verbs.js'
import { goQuoted } from './go-json.js'
import type { PixyAnswers } from './pixy-answers.js'
import type { KafkaPixySettings } from './settings.js'

/** Values by name, in the order sent. Each character of a value stands for one byte; {@link textOf} decodes it. */
export type Values = ReadonlyMap<string, readonly string[]>

interface ParsedQuery {
  readonly values: Values
  /** Why the first pair was left out, in the words of the original. */
  readonly flaw: string | undefined
}

const NO_QUERY: ParsedQuery = { values: new Map(), flaw: undefined }
const SEMICOLON = 'invalid semicolon separator in query'

/**
 * A query string or a form. A pair that cannot be decoded, or has a semicolon, is left out.
 *
 *   a=1&b&a=%41&c=%zz   =>   a: [1, A], b: ['']   invalid URL escape "%zz"
 *
 * Source: Go 1.19, net/url, ParseQuery.
 */
export function parseQuery(text: string): ParsedQuery {
  if (text === '') return NO_QUERY
  const values = new Map<string, string[]>()
  let flaw: string | undefined
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const problem = addPair(values, pair)
    flaw ??= problem
  }
  return { values, flaw }
}

function addPair(values: Map<string, string[]>, pair: string): string | undefined {
  if (pair.includes(';')) return SEMICOLON
  const equals = pair.indexOf('=')
  const rawName = equals < 0 ? pair : pair.slice(0, equals)
  const rawValue = equals < 0 ? '' : pair.slice(equals + 1)
  const problem = escapeProblem(rawName) ?? escapeProblem(rawValue)
  if (problem !== undefined) return problem
  addTo(values, decoded(rawName), decoded(rawValue))
  return undefined
}

function escapeProblem(text: string): string | undefined {
  if (!text.includes('%')) return undefined
  const at = text.search(/%(?![0-9a-f]{2})/i)
  return at < 0 ? undefined : `invalid URL escape "${text.slice(at, at + 3)}"`
}

const decoded = (text: string): string =>
  /[+%]/.test(text)
    ? text
        .replaceAll('+', ' ')
        .replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    : text

/** Values of both, those of the form first. */
export function merged(form: Values, query: Values): Values {
  if (form.size === 0) return query
  const all = new Map<string, readonly string[]>(form)
  for (const [name, values] of query) all.set(name, [...(all.get(name) ?? []), ...values])
  return all
}

const isAscii = (text: string): boolean => !/[\u0080-\uffff]/.test(text)

/** Decodes the bytes of a value as UTF-8. */
export const textOf = (value: string): string => (isAscii(value) ? value : bytesOf(value).toString())

export const bytesOf = (value: string): Buffer => Buffer.from(value, 'latin1')

/** The message that a request acknowledges: one by its place, the message that it gets (`auto`), or none. */
export type AckOf = 'auto' | 'none' | { readonly partition: number; readonly offset: number }

/** @throws ApiError when there is not exactly one, or it is empty */
export function groupOf(values: Values): string {
  const groups = values.get('group') ?? []
  if (groups.length !== 1) throw new ApiError(400, `one consumer group is expected, but ${groups.length} provided`)
  if (groups[0] === '') throw new ApiError(400, 'one consumer group is expected, but its name is empty')
  return textOf(groups[0]!)
}

/** @throws ApiError when a number is wrong, or one of the two is missing */
export function ackOf(values: Values, partitionName: string, offsetName: string): AckOf {
  if (values.has('noAck')) return 'none'
  const partition = numberOf(values, partitionName, int32)
  const offset = numberOf(values, offsetName, int64)
  if (partition === undefined && offset === undefined) return 'auto'
  if (partition === undefined || offset === undefined) {
    throw new ApiError(400, `${partitionName} and ${offsetName} either both should be provided or neither`)
  }
  return partition < 0 || offset < 0 ? 'none' : { partition, offset }
}

const whole = z.string().regex(/^[+-]?\d+$/, { error: 'invalid syntax', abort: true })
const OUT_OF_RANGE = 'value out of range'
/** Numbers with more digits are out of range. */
const INT64_DIGITS = 19

const isInt64 = (text: string): boolean => {
  const [, sign = '', digits = ''] = /^([+-]?)0*(\d*)$/.exec(text)!
  const value = digits.length <= INT64_DIGITS ? BigInt(`${sign === '-' ? sign : ''}${digits || 0}`) : undefined
  return value !== undefined && BigInt.asIntN(64, value) === value
}

/** Whole numbers in a text. Their errors are those of the original. Source: Go 1.19, strconv.ParseInt. */
export const int32 = whole.transform(Number).pipe(z.int32(OUT_OF_RANGE))
export const int64 = whole
  .refine(isInt64, OUT_OF_RANGE)
  .transform(Number)
  .pipe(z.number().meta({ type: 'integer', format: 'int64' }))

/**
 * Reads a whole number; of several values the first counts.
 *
 * @param type {@link int32} or {@link int64}
 * @throws ApiError when it is wrong
 */
export function numberOf(values: Values, name: string, type: z.ZodType<number, string>): number | undefined {
  const texts = values.get(name)?.map(textOf)
  if (texts === undefined) return undefined
  const { data, error } = type.safeParse(texts[0])
  if (error === undefined) return data
  const problem = `parsing ${goQuoted(texts[0]!)}: ${error.issues[0]!.message}`
  throw new ApiError(400, `bad ${name}: [${texts.join(' ')}]: strconv.ParseInt: ${problem}`)
}

/** Start of a tail. */
export const tailStart = z.enum(['earliest', 'latest'], 'from should be latest or earliest').default('latest')

/** Partitions with commas between them. */
export const partitionList = z.string().regex(/^\d{1,10}(,\d{1,10})*$/)

/** A request whose path is known, on its way to an answer. */
export interface PixyRequest {
  readonly exchange: Exchange
  /** The gateway of the cluster that the path names. */
  readonly verbs: Verbs
  /** The empty string where the path names none. */
  readonly topic: string
  readonly query: ParsedQuery
}

/** Parts that answer the routes which do not produce. */
export interface RouteParts {
  readonly settings: KafkaPixySettings
  readonly access: Access
  readonly answers: PixyAnswers
  /** Absent: no schema registry is configured. */
  readonly schemas?: Decoding | undefined
  readonly pool: BufferPool
  readonly maxBodyBytes: number
  readonly records: RecordBudget
  readonly longLists: LongLists
  readonly clock: MonotonicClock
  /** How long a request waits for a message, in milliseconds. */
  readonly longPollMs: number
  readonly fail: (request: PixyRequest, error: unknown) => void
}

/**
 * Refuses a request whose client may not do this, or for another reason.
 *
 * @returns whether it is admitted
 */
export function allows(
  { access, answers }: RouteParts,
  { exchange }: PixyRequest,
  verb: VerbPath,
  target: AccessTarget,
  reason?: CastellanError
): boolean {
  const refusal = reason ?? authorize(access.callerOf(exchange.request), verb, target)
  if (refusal !== undefined) answers.refuse(exchange, refusal, true)
  return refusal === undefined
}

const NO_VALUES: Values = new Map()

/**
 * Reads a body that may bring parameters in a form.
 *
 * @param use called with the parameters, and with the bytes of a body that is no form, which are valid during the call; not
 *   called when the body is too large, or the client has left
 */
export function readForm(parts: RouteParts, request: PixyRequest, use: (form: Values, rest: Buffer) => void): void {
  const { access, answers, maxBodyBytes, pool } = parts
  const { exchange } = request
  const { headers } = exchange.request
  const maxBytes = Math.min(maxBodyBytes, MAX_PARSED_BYTES)
  keepTurn(exchange)
  collectBody(exchange.payload, Number(headers['content-length'] ?? 0), maxBytes, pool, (body, seenBytes) => {
    const refusal = body instanceof Buffer ? access.callerOf(exchange.request).charge(0, seenBytes) : undefined
    if (body instanceof OverloadedError) answers.refuse(exchange, body)
    else if (refusal !== undefined) {
      answers.refuse(exchange, refusal, true)
      endTurn(exchange)
    } else if (body === 'tooLarge') answers.error(exchange, 413, 'the body is too large', { isRead: false })
    else if (body instanceof Buffer) {
      try {
        if (isFormType(headers['content-type'])) use(parseQuery(body.toString('latin1')).values, NOTHING)
        else use(NO_VALUES, body)
      } catch (error) {
        parts.fail(request, error)
      }
      endTurn(exchange)
    }
  })
}

/** Whether a body is the message itself or a form that contains it. */
export type ContentKind = 'raw' | 'form'

const FORM_TYPE = 'application/x-www-form-urlencoded'
const JSON_TYPE = /^application\/(?:json|[^;]*\+json)(?:;.*)?$/

/** Letters count as they are written, and only JSON may have parameters. `undefined`: no message can be of this type. */
export function contentKindOf(type: string | undefined): ContentKind | undefined {
  if (type === 'text/plain' || type === 'application/json') return 'raw'
  if (type === FORM_TYPE) return 'form'
  return type !== undefined && JSON_TYPE.test(type) ? 'raw' : undefined
}

/** Whether parameters are read from a body of this type. */
export const isFormType = (type: string | undefined): boolean =>
  type !== undefined && type.split(';', 1)[0]!.trim().toLowerCase() === FORM_TYPE
