import { z } from 'zod'
import type { EndpointVerb } from '../../verbs/facts.js'
import { PERSISTED_HEADER } from '../../verbs/persisted.js'
import { RECEIPT_HEADER } from '../../verbs/receipts.js'
import { MODERN_TYPE, PROBLEM_TYPE } from '../exchange/modern-answers.js'

/** A JSON Schema (2020-12), as OpenAPI 3.1 uses it. */
export type OpenApiSchema = Readonly<Record<string, unknown>>

type Method = 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete' | 'options'

/** Schemas of a request's parameters by name. A parameter is required if its schema refuses `undefined`. */
export type Parameters = Readonly<Record<string, z.ZodType>>

/** Schemas by media type. */
export type Content = Readonly<Record<string, z.ZodType>>

export interface Body {
  readonly description: string
  readonly content: Content
  /** Default: true. */
  readonly required?: boolean
}

export interface Answer {
  readonly description: string
  /** Absent: an empty body. */
  readonly content?: Content
  /** Descriptions by name. Each of the headers may be absent. */
  readonly headers?: Readonly<Record<string, string>>
}

/** One operation of an HTTP API: what OpenAPI says about a method of a path. */
export interface Operation {
  readonly method: Method
  /** Path below the prefix of the API, with parameters in braces: `/sync/{topic}`. */
  readonly path: string
  /** Unique in its API; becomes a function's name in generated clients: `pushRecords`. */
  readonly id: string
  /** The verb of the operation, whose facts in `verbs/facts.ts` hold for the operation, too. */
  readonly verb: EndpointVerb
  readonly summary: string
  readonly description?: string
  readonly params?: Parameters
  readonly query?: Parameters
  readonly body?: Body
  readonly answers: Readonly<Record<number, Answer>>
  /** True: every answer has the header `x-castellan-persisted`. */
  readonly produces?: boolean
}

export const json = (schema: z.ZodType): Content => ({ 'application/json': schema })

/** Values of JSON that follow each other, one a line. */
export const LINES_TYPE = 'application/x-ndjson'

/** A body of any bytes. */
export const BYTES = z.string().meta({ format: 'binary' })

/** An operation that reads one thing about the process. */
export const reading = (
  path: string,
  id: string,
  summary: string,
  description: string,
  content: Content
): Operation => ({
  method: 'get',
  path,
  id,
  verb: 'none',
  summary,
  answers: { 200: { description, content } }
})

export interface DescribedApi {
  /** Groups its operations, and begins their ids: `kprf`. */
  readonly name: string
  /** The prefix of its paths; empty on a port of its own. */
  readonly prefix: string
  readonly operations: readonly Operation[]
}

/** The path of the description itself, on every port. */
export const OPENAPI_PATH = '/openapi.json'

const header = (description: string, more: object = {}) => ({ description, schema: { type: 'string', ...more } })

const REQUEST_ID = header("The client's own id, or a generated one; it is the `requestId` of the log.")
const PERSISTED = header(
  'Whether the records are in Kafka: `yes`, `no`, `unknown` or `pending`; one letter per record where they differ.',
  { pattern: '^(yes|no|unknown|pending|[ynup]+)$' }
)

const requestHeader = (name: string, description: string, more: object = {}): OpenApiSchema => ({
  name,
  in: 'header',
  description,
  required: false,
  schema: { type: 'string', ...more }
})

const PRODUCE_PARAMETERS = [
  requestHeader(
    'idempotency-key',
    'A request that comes again with the same key gets the same answer, and its records are written once. Another request with the key is answered 422, and one that comes too soon 409.',
    { minLength: 1, maxLength: 512 }
  ),
  requestHeader(
    'prefer',
    '`respond-async` (RFC 7240): a request that would wait for Kafka is answered 202 with the place of its receipt as soon as its records are on disk, with `wait=SECONDS` after this time. Ignored where records are kept in memory.'
  ),
  requestHeader(
    'content-encoding',
    'One of `gzip`, `deflate`, `br` and, from Node 22.15 on, `zstd`: the body is decoded, but for APIs that keep it as it is sent unless `http.decodedApis` names them.'
  )
]

/** Headers of answers of operations that produce; each but the first may be absent. */
const PRODUCE_HEADERS = {
  [PERSISTED_HEADER]: PERSISTED,
  [RECEIPT_HEADER]: header(
    'Names the request for `GET /receipts/{id}`; only where the gateway keeps what became of its records.'
  ),
  'x-castellan-idempotency': header('Where the key of the request is known.', { enum: ['gateway', 'deployment'] }),
  'idempotent-replayed': header('The answer was given before to a request with this key.', { enum: ['true'] })
}
const EARLY_HEADERS = {
  location: header('The receipt of a request with `Prefer: respond-async`.'),
  'preference-applied': header('The answer does not wait for Kafka, as the client prefers.', {
    enum: ['respond-async']
  })
}

/**
 * Refusals that every operation can answer with before it is carried out; their bodies have the error format of the
 * API.
 */
const REFUSALS: Readonly<Record<number, string>> = {
  400: 'The request cannot be parsed',
  401: 'No credentials, or wrong ones',
  403: 'The client may not do this, or the request is that of a web page of another site',
  408: 'The request comes too slowly',
  413: 'The body is too large, also where it is decoded',
  415: 'The body has a content coding that cannot be decoded, or the wrong type',
  429: 'A quota is used up',
  431: 'The headers are too large',
  503: 'Overloaded, or shutting down'
}

const failure = z.object({
  code: z.string(),
  message: z.string(),
  persisted: z.enum(['no', 'unknown', 'pending']),
  retriable: z.boolean()
})
const record = z.union([
  z.object({ partition: z.int(), offset: z.int(), timestamp: z.int().nullable() }),
  z.object({ persisted: z.enum(['pending']) }),
  z.object({ error: failure })
])
/** The answers that every produce operation has for clients that accept {@link MODERN_TYPE}. */
const outcomes: Content = { [MODERN_TYPE]: z.object({ records: z.array(record) }) }
const problem: Content = {
  [PROBLEM_TYPE]: z.object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    code: z.string(),
    persisted: z.string(),
    retriable: z.boolean()
  })
}
/** The answer to a request with `Prefer: respond-async`. */
const givenReceipt = z.object({ receipt: z.string() })
const modernAnswers: Readonly<Record<number, string>> = {
  200: 'All records are in Kafka',
  202: 'All records are accepted',
  207: 'Records differ, or have failed; only for clients that accept modern answers'
}

/** An OpenAPI 3.1 document of everything that one port serves. */
export function toDocument(title: string, version: string, apis: readonly DescribedApi[]): OpenApiSchema {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const { name, prefix, operations } of apis) {
    for (const operation of operations) {
      const path = `${prefix}${operation.path}`
      paths[path] = { ...paths[path], [operation.method]: toOperation(name, operation) }
    }
  }
  return {
    openapi: '3.1.0',
    info: { title, version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: '/' }],
    tags: apis.map(({ name }) => ({ name })),
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' }, basic: { type: 'http', scheme: 'basic' } }
    },
    // The empty first entry: no credentials, for processes that need none.
    security: [{}, { bearer: [] }, { basic: [] }]
  }
}

/** The bytes of a document, made when it is first asked for: a text would be encoded again for each answer. */
export function writtenOnce(toDocument: () => OpenApiSchema): () => Buffer {
  let written: Buffer | undefined
  return () => (written ??= Buffer.from(JSON.stringify(toDocument())))
}

/** `kafka-pixy-ping` => `kafkaPixyPing`: generated clients make function names of it. */
const camelCase = (text: string): string => text.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

function toOperation(api: string, operation: Operation): OpenApiSchema {
  const { id, summary, description, body, answers, produces = false } = operation
  const parameters = [...parametersOf(operation), ...(produces ? PRODUCE_PARAMETERS : [])]
  const all: Record<string, Answer> = { ...refusalsOf(operation), ...answers }
  if (produces) addAnswersOfProduce(all)
  const responses = Object.entries(all).map(([status, answer]) => [status, toResponse(status, answer, produces)])
  return {
    operationId: camelCase(`${api}-${id}`),
    tags: [api],
    summary,
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { description: body.description, required: body.required ?? true, content: toContent(body.content) }
    }),
    responses: Object.fromEntries(responses)
  }
}

const KEY_ANSWERS: Readonly<Record<number, string>> = {
  400: 'The header `Idempotency-Key` is not one key',
  409: 'An earlier request with the same `Idempotency-Key` is still under way',
  422: 'The `Idempotency-Key` was used for another request',
  503: 'No further `Idempotency-Key` can be remembered, or what remembers it does not answer, or cannot be reached (code `peerAway`: send the request again with the same key)'
}
/** Statuses whose requests may be sent again. */
const RETRIED = ['409', '503']
const RETRY_AFTER = { 'retry-after': 'Seconds until the request may be sent again.' }

function addAnswersOfProduce(answers: Record<string, Answer>): void {
  for (const [status, told] of Object.entries(KEY_ANSWERS)) {
    const own = answers[status]
    const description = own === undefined ? told : `${own.description}. Or: ${told}`
    const headers = { ...own?.headers, ...(RETRIED.includes(status) && RETRY_AFTER) }
    answers[status] = { ...own, description, headers }
  }
  for (const [status, description] of Object.entries(modernAnswers)) {
    const own = answers[status]
    answers[status] = { description, ...own, content: { ...own?.content, ...outcomes } }
  }
  const { content, ...accepted } = answers[202]!
  const own = content?.['application/json']
  const early = own === undefined ? givenReceipt : z.union([own, givenReceipt])
  answers[202] = { ...accepted, content: { ...content, ...json(early) } }
  for (const [status, answer] of Object.entries(answers)) {
    if (Number(status) >= 400) answers[status] = { ...answer, content: { ...problem, ...answer.content } }
  }
}

const ANYTHING: Content = { '*/*': z.unknown() }

/** Methods whose requests have no body: others may have one that no operation asks for. */
const WITHOUT_BODY: readonly Method[] = ['get', 'head', 'options']

const refusalsOf = ({ method }: Operation): Record<string, Answer> =>
  Object.fromEntries(
    Object.entries(REFUSALS)
      .filter(([status]) => !WITHOUT_BODY.includes(method) || (status !== '413' && status !== '415'))
      .map(([status, description]) => [status, { description, content: ANYTHING }])
  )

const toResponse = (
  status: string,
  { description, content, headers = {} }: Answer,
  produces: boolean
): OpenApiSchema => ({
  description,
  headers: {
    'x-request-id': REQUEST_ID,
    ...Object.fromEntries(Object.entries(headers).map(([name, described]) => [name, header(described)])),
    ...(produces && PRODUCE_HEADERS),
    ...(produces && status === '202' && EARLY_HEADERS)
  },
  ...(content !== undefined && { content: toContent(content) })
})

const toContent = (content: Content): OpenApiSchema =>
  Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema: toJsonSchema(schema, 'input') }]))

/** The parameters of an operation as OpenAPI lists them. */
export const parametersOf = ({ params = {}, query = {} }: Operation): readonly OpenApiSchema[] => [
  ...Object.entries(params).map(([name, schema]) => toParameter(name, 'path', schema)),
  ...Object.entries(query).map(([name, schema]) => toParameter(name, 'query', schema))
]

/** Parameters arrive as text; the description names what is read from it. */
function toParameter(name: string, place: 'path' | 'query', parameter: z.ZodType): OpenApiSchema {
  const { description, ...schema } = toJsonSchema(parameter, 'output')
  return { name, in: place, description, required: !parameter.safeParse(undefined).success, schema }
}

/** A schema that is made costs more than all the rest of a document, and most of them stand in many operations. */
const known = { input: new WeakMap<z.ZodType, OpenApiSchema>(), output: new WeakMap<z.ZodType, OpenApiSchema>() }

/** @param io the side of a schema that changes what it reads */
export function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): OpenApiSchema {
  const made = known[io].get(schema) ?? makeJsonSchema(schema, io)
  known[io].set(schema, made)
  return made
}

function makeJsonSchema(schema: z.ZodType, io: 'input' | 'output'): OpenApiSchema {
  const { $schema: _, ...described } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // The limits of whole numbers in JavaScript are no limits of ours.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
    }
  })
  return described
}
