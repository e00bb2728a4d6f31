import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { MAX_PARSED_BYTES, parsedJson } from '../../core/json/parsed-json.js'
import { messageOf } from '../../core/node-errors.js'
import { shortened } from '../../core/printable.js'
import { bytes, nonEmpty } from '../../core/settings/units.js'
import { ApiError } from '../../http/api/api-answers.js'
import { withBytes } from '../../http/api/endpoint.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { ACQUIRE, MIN_LOCK_MS, type Settlement, tokensOf } from '../../verbs/verbs.js'
import { ENCODINGS } from './message-json.js'
import type { QueueParts } from './queue-answers.js'

/** Larger answers would hold up the event loop. */
const MAX_ANSWER_BYTES = 4 * MIB
const MAX_TOKENS = 1_000

const tokens = (what: string) => z.array(z.string()).default([]).describe(`tokens of messages ${what}`)

/** Finds what is wrong with the lists together. */
const checkTokens: z.core.CheckFn<Settlement> = ({ value, issues }) => {
  const seen = new Set<string>()
  const all = tokensOf(value)
  const add = (message: string): void => void issues.push({ code: 'custom', message, input: value })
  if (all.length > MAX_TOKENS) add(`there are more than ${MAX_TOKENS} tokens`)
  else for (const token of all) if (seen.size === seen.add(token).size) add('a token is there twice')
}

const delayMs = z.int().min(0).default(0)
export const settleBody = z
  .strictObject({
    accept: tokens('that are done'),
    release: tokens('to give back: they are offered again'),
    reject: tokens('to give up: they are never offered again'),
    renew: tokens('whose locks begin anew'),
    delayMs: delayMs.describe(
      'the released ones are not offered again before, in milliseconds; at most `queues.maxLockMs`'
    )
  })
  .check(checkTokens)

const start = z
  .string()
  .regex(
    /^(earliest|latest|P(\d{1,6}D)?(T(\d{1,6}H)?(\d{1,6}M)?(\d{1,6}S)?)?)$/,
    'must be earliest, latest, or a duration such as PT1H'
  )
  .refine(text => !/[PT]$/.test(text), 'is a duration without a number')

export const acquireBody = z.strictObject({
  count: z.int().min(1).max(ACQUIRE.maxCount).default(ACQUIRE.count),
  waitMs: z
    .int()
    .min(0)
    .max(ACQUIRE.maxWaitMs)
    .default(ACQUIRE.waitMs)
    .describe('how long to wait for the first message, in milliseconds'),
  maxBytes: bytes
    .max(MAX_ANSWER_BYTES)
    .default(ACQUIRE.maxBytes)
    .describe(
      'no message is added that would make keys, values and headers larger, each header counts 250 bytes more; the first one is always given'
    ),
  lockMs: z
    .int()
    .min(MIN_LOCK_MS)
    .optional()
    .describe(
      'how long the messages are for this client, in milliseconds; at most `queues.maxLockMs`. Absent: the lock of Kafka'
    ),
  encoding: z.enum(ENCODINGS).default('base64').describe('of key, value and header values'),
  start: start
    .optional()
    .describe(
      '`earliest`, `latest` or a duration back from now, such as `PT1H`: for a group that has neither this setting nor any state'
    ),
  settle: settleBody.optional().describe('is done first; its results are in `settled`')
})

export const configureBody = z.strictObject({
  start: start.nullish().describe('where the group begins in partitions that it has not read'),
  lockMs: z.int().min(1).nullish().describe("Kafka's own lock of its messages, in milliseconds"),
  deliveryLimit: z.int().min(1).nullish().describe('how often a message is offered'),
  deadLetters: nonEmpty
    .nullish()
    .describe('the topic that gets copies of messages given up; its name begins with `dlq.`'),
  isolation: z
    .enum(['readUncommitted', 'readCommitted'])
    .nullish()
    .describe('`readCommitted` hides records of transactions that are open or aborted')
})

/** `2026-11-20T12:00:00Z`: the first record that is not older, in each partition. */
const time = z.iso.datetime({ offset: true }).transform(text => ({ timestampMs: Date.parse(text) }))
const offsets = z
  .record(z.string().regex(/^(0|[1-9]\d{0,9})$/, 'is no number of a partition'), z.int().min(0))
  .refine(places => Object.keys(places).length > 0, 'names no partition')
  .transform(places => ({ offsets: new Map(Object.entries(places).map(([name, offset]) => [Number(name), offset])) }))

export const resetBody = z.strictObject({
  to: z
    .union([z.enum(['earliest', 'latest']), time, offsets], {
      error: 'must be earliest, latest, a time such as 2026-11-20T12:00:00Z, or offsets such as {"0":12}'
    })
    .describe('where the group begins: `earliest`, `latest`, a time in ISO 8601, or an offset by partition'),
  dryRun: z.boolean().default(false).describe('true: nothing is changed; the answer is what would be')
})

const TOO_LARGE = new ApiError(
  413,
  `the body is larger than ${MAX_PARSED_BYTES} bytes, or than apis.queues.maxBodyBytes where that is less`
)

/** How a route reads the JSON of its body. */
interface JsonOf<Value> {
  readonly schema: z.ZodType<Value>
  readonly prepare: (json: unknown) => unknown
}

/** Bodies whose members may be null, which is the same as if they were absent. */
export const acquiring: JsonOf<z.output<typeof acquireBody>> = {
  schema: acquireBody,
  prepare: json => {
    const given = withoutNulls(json, acquireBody.shape)
    return isObject(given) && 'settle' in given ? { ...given, settle: settling.prepare(given.settle) } : given
  }
}
export const settling: JsonOf<z.output<typeof settleBody>> = {
  schema: settleBody,
  prepare: json => withoutNulls(json, settleBody.shape)
}
export const resetting: JsonOf<z.output<typeof resetBody>> = { schema: resetBody, prepare: json => json }
/** Null is Kafka's default here. */
export const configuring: JsonOf<z.output<typeof configureBody>> = { schema: configureBody, prepare: json => json }

const isObject = (json: unknown): json is object => typeof json === 'object' && json !== null && !Array.isArray(json)

/** Members that are not known stay, so that they are refused. */
const withoutNulls = (json: unknown, known: object): unknown =>
  isObject(json)
    ? Object.fromEntries(Object.entries(json).filter(([name, value]) => value !== null || !Object.hasOwn(known, name)))
    : json

/** Reads a body of JSON of any content type; an empty one is `{}`. @param use what it throws is answered */
export function withJson<Value>(
  parts: QueueParts,
  exchange: Exchange,
  { schema, prepare }: JsonOf<Value>,
  use: (value: Value) => void
): void {
  withBytes(parts, exchange, Math.min(parts.maxBodyBytes, MAX_PARSED_BYTES), TOO_LARGE, bytes =>
    use(validated(bytes.length === 0 ? {} : prepare(jsonIn(bytes)), schema))
  )
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return parsedJson(bytes)
  } catch (error) {
    throw new ApiError(400, `the body is not JSON: ${messageOf(error)}`)
  }
}

/** Refuses lists with more items than a request may have tokens: a schema would look at each item first. @throws ApiError */
function checkLists(json: unknown, name = 'the body'): void {
  if (isObject(json))
    for (const [member, value] of Object.entries(json)) checkLists(value, JSON.stringify(shortened(member)))
  else if (Array.isArray(json) && json.length > MAX_TOKENS)
    throw new ApiError(400, `${name} has more than ${MAX_TOKENS} items`)
}

/** @throws ApiError naming what the schema does not allow */
function validated<Value>(json: unknown, schema: z.ZodType<Value>): Value {
  checkLists(json)
  const { data, error } = schema.safeParse(json)
  if (error === undefined) return data
  throw new ApiError(400, error.issues.slice(0, MAX_ISSUES).map(textOf).join('; '))
}

const MAX_ISSUES = 5
const MAX_NAME_LENGTH = 100

function textOf(issue: z.core.$ZodIssue): string {
  const where = issue.path.join('.')
  if (issue.code !== 'unrecognized_keys') return where === '' ? issue.message : `${where}: ${issue.message}`
  const names = issue.keys.slice(0, MAX_ISSUES).map(key => JSON.stringify(key.slice(0, MAX_NAME_LENGTH)))
  return `${where === '' ? 'the body' : where} has no member ${names.join(', ')}`
}

/** @param name of the member of the body. @throws ApiError when it is more than `queues.maxLockMs` */
export function requireAtMost(maxLockMs: number, name: string, valueMs: number | undefined): void {
  if (valueMs !== undefined && valueMs > maxLockMs)
    throw new ApiError(400, `${name}: must be at most ${maxLockMs} (queues.maxLockMs)`)
}
