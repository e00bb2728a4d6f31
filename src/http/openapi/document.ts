import { PERSISTED_HEADER } from '../../gateway/persisted.js'
import { MODERN_TYPE, PROBLEM_TYPE } from '../exchange/modern-answers.js'
import {
  type Answer,
  type Content,
  type JsonSchema,
  listOf,
  type Operation,
  object,
  oneOf,
  type Parameter,
  text
} from './operation.js'

/** The operations of one API and where they are served. */
export interface DescribedApi {
  /** Groups its operations, and begins their ids: `kprf`. */
  readonly name: string
  /** What stands before its paths; empty on a port of its own. */
  readonly prefix: string
  readonly operations: readonly Operation[]
}

/** The path of the description itself, on every port. */
export const OPENAPI_PATH = '/openapi.json'

const REQUEST_ID = {
  description: "The client's own id, or a generated one; it is the `requestId` of the log.",
  schema: { type: 'string' }
}
const PERSISTED = {
  description:
    'Whether the records are in Kafka: `yes`, `no`, `unknown` or `pending`; one letter per record where they differ.',
  schema: { type: 'string', pattern: '^(yes|no|unknown|pending|[ynup]+)$' }
}

/** Refusals that every operation can have, from before it is carried out; their bodies are those of the API. */
const REFUSALS: Readonly<Record<number, string>> = {
  400: 'The request cannot be parsed',
  401: 'No credentials, or wrong ones',
  403: 'The client may not do this, or the request is that of a web page of another site',
  408: 'The request comes too slowly',
  413: 'The body is too large',
  429: 'A quota is used up',
  431: 'The headers are too large',
  503: 'Overloaded, or shutting down'
}

const failure = object({
  code: text,
  message: text,
  persisted: oneOf('no', 'unknown', 'pending'),
  retriable: { type: 'boolean' }
})
const record: JsonSchema = {
  anyOf: [
    object({ partition: { type: 'integer' }, offset: { type: 'integer' }, timestamp: { type: 'integer' } }),
    object({ persisted: oneOf('pending') }),
    object({ error: failure })
  ]
}
/** The answers that every produce operation has for clients that accept {@link MODERN_TYPE}. */
const outcomes: Content = { [MODERN_TYPE]: object({ records: listOf(record) }) }
const problem: Content = {
  [PROBLEM_TYPE]: object({
    type: text,
    title: text,
    status: { type: 'integer' },
    code: text,
    persisted: text,
    retriable: { type: 'boolean' }
  })
}
const modernAnswers: Readonly<Record<number, string>> = {
  200: 'All records are in Kafka',
  202: 'All records are accepted',
  207: 'Records differ, or have failed; only for clients that accept modern answers'
}

/** An OpenAPI 3.1 document of everything that one port serves. */
export function toDocument(title: string, version: string, apis: readonly DescribedApi[]): JsonSchema {
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
    // The first entry: without credentials, where none are needed.
    security: [{}, { bearer: [] }, { basic: [] }]
  }
}

/** `kafka-pixy-ping` => `kafkaPixyPing`: generated clients make function names of it. */
const camelCase = (text: string): string => text.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

function toOperation(api: string, operation: Operation): JsonSchema {
  const { id, summary, description, parameters, body, answers, produces = false } = operation
  const all: Record<string, Answer> = { ...refusalsOf(operation), ...answers }
  if (produces) addModernAnswers(all)
  const responses = Object.entries(all).map(([status, answer]) => [status, toResponse(answer, produces)])
  return {
    operationId: camelCase(`${api}-${id}`),
    tags: [api],
    summary,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters: parameters.map(toParameter) }),
    ...(body !== undefined && {
      requestBody: { description: body.description, required: body.required ?? true, content: toContent(body.content) }
    }),
    responses: Object.fromEntries(responses)
  }
}

function addModernAnswers(answers: Record<string, Answer>): void {
  for (const [status, description] of Object.entries(modernAnswers)) {
    const own = answers[status]
    answers[status] = { description: own?.description ?? description, content: { ...own?.content, ...outcomes } }
  }
  for (const [status, answer] of Object.entries(answers)) {
    if (Number(status) >= 400) answers[status] = { ...answer, content: { ...answer.content, ...problem } }
  }
}

const refusalsOf = ({ body }: Operation): Record<string, Answer> =>
  Object.fromEntries(
    Object.entries(REFUSALS)
      .filter(([status]) => body !== undefined || status !== '413')
      .map(([status, description]) => [status, { description, content: { '*/*': {} } }])
  )

const toResponse = ({ description, content }: Answer, produces: boolean): JsonSchema => ({
  description,
  headers: { 'x-request-id': REQUEST_ID, ...(produces && { [PERSISTED_HEADER]: PERSISTED }) },
  ...(content !== undefined && { content: toContent(content) })
})

const toContent = (content: Content): JsonSchema =>
  Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]))

const toParameter = ({ name, in: place, description, schema, required }: Parameter): JsonSchema => ({
  name,
  in: place,
  description,
  required: place === 'path' || (required ?? false),
  schema: schema ?? { type: 'string' }
})
