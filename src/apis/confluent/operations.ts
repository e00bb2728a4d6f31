import { z } from 'zod'
import { type Described, operationsOf } from '../../http/api/routes.js'
import { type Content, json, LINES_TYPE, type Operation } from '../../http/openapi/operation.js'
import { error } from './look-up.js'
import { V2_TYPE } from './media-types.js'
import { consumerRoutes } from './v2/consumer-routes.js'
import { lookUpRoutes, produceOperations } from './v2/routes.js'
import { aclRoutes } from './v3/acl-routes.js'
import { clusterRoutes, groupRoutes } from './v3/cluster-routes.js'
import { configRoutes } from './v3/config-routes.js'
import { shareGroupRoutes } from './v3/share-group-routes.js'
import { topicRoutes } from './v3/topic-routes.js'

const text = z.string()
const failure = { content: json(error) }
const cluster_id = text.describe('The id of the cluster; the answer repeats it')
const topic_name = text.describe('The topic')

const types = z.enum(['BINARY', 'JSON', 'STRING', 'AVRO', 'JSONSCHEMA', 'PROTOBUF'])
const data = z.object({
  type: types.nullish().describe('absent: that of the schema'),
  subject: text.nullish(),
  subject_name_strategy: z.enum(['TOPIC_NAME', 'RECORD_NAME', 'TOPIC_RECORD_NAME']).nullish(),
  schema_id: z.int().nullish().describe('without it, `schema_version` and `schema`: the latest version of the subject'),
  schema_version: z.int().nullish(),
  schema: text.nullish().describe('the text of a schema of the type'),
  data: z.unknown().describe('base64, any JSON, or a text')
})
const header = z.object({ name: text, value: text.nullish().describe('in base64') })

const recordMembers = {
  partition_id: z.int().nullish().describe('absent: by the key'),
  headers: z.array(header).nullish(),
  key: data.nullish().describe('absent: none'),
  value: data.nullish().describe('absent: null'),
  timestamp: z.union([text, z.number()]).nullish().describe('ISO-8601, or seconds; absent: when it arrives')
}

/** `v3/record-json.ts` reads it. */
const recordBody = z.object(recordMembers)

const size = z.object({
  type: types,
  subject: text.optional(),
  schema_id: z.int().optional(),
  schema_version: z.int().optional(),
  size: z.int().describe('in bytes, as stored; -1: null')
})
const placed = {
  cluster_id: text,
  topic_name: text,
  partition_id: z.int(),
  offset: z.int(),
  timestamp: text.nullable().describe('ISO-8601; null: of no year from 0000 to 9999'),
  key: size.optional(),
  value: size.optional()
}
const recordAnswer = z.union([z.object({ error_code: z.literal(200), ...placed }), error])

const batchId = text.regex(/^[\w-]{1,80}$/)
const batchAnswer = z.object({
  successes: z.array(z.object({ id: batchId, ...placed })),
  failures: z.array(z.object({ id: batchId, error_code: z.int(), message: text }))
})

const answersOfRecords = {
  400: { description: 'The charset is neither UTF-8 nor ISO-8859-1', ...failure },
  403: { description: 'The topic is not allowed', ...failure },
  415: { description: 'The content type is not application/json', ...failure },
  422: { description: 'The body is empty', ...failure }
}

/** The operations of version 3 that produce, by id. */
const v3Operations = {
  produceRecords: {
    verb: 'produce',
    method: 'post',
    path: '/v3/clusters/{cluster_id}/topics/{topic_name}/records',
    params: { cluster_id, topic_name },
    summary: 'Produces records, one or a stream of them',
    description:
      'The body is one record or several that follow each other; with chunked encoding it may stay open. The answer has one object per record in their order, each with a line end, as soon as Kafka has the record.',
    body: { description: 'Records', content: { ...json(recordBody), [LINES_TYPE]: recordBody } },
    produces: true,
    answers: {
      200: { description: 'One object per record; records may have failed', content: json(recordAnswer) },
      ...answersOfRecords
    }
  },
  produceBatch: {
    verb: 'produce',
    method: 'post',
    path: '/v3/clusters/{cluster_id}/topics/{topic_name}/records:batch',
    params: { cluster_id, topic_name },
    summary: 'Produces a batch of records with ids',
    body: {
      description: 'The records',
      content: json(z.object({ entries: z.array(z.object({ id: batchId, ...recordMembers })).min(1) }))
    },
    produces: true,
    answers: {
      ...answersOfRecords,
      207: { description: 'What has become of each entry', content: json(batchAnswer) },
      400: { description: 'The body is not JSON, or its charset is neither UTF-8 nor ISO-8859-1', ...failure },
      422: { description: 'There are no entries, too many, or their ids are wrong', ...failure }
    }
  }
} as const satisfies Readonly<Record<string, Described>>

export const v3AdminRoutes = {
  ...configRoutes,
  ...clusterRoutes,
  ...topicRoutes,
  ...groupRoutes,
  ...shareGroupRoutes,
  ...aclRoutes
} as const
const all = { ...lookUpRoutes, ...produceOperations, ...consumerRoutes, ...v3Operations, ...v3AdminRoutes }

/** Refusals that each operation can answer with, whose descriptions do not say more. */
const refusals: Readonly<Record<number, string>> = {
  400: 'The request cannot be read',
  401: 'No credentials, or wrong ones',
  403: 'The client may not do this',
  408: 'The request comes too slowly',
  429: 'A quota is used up',
  500: 'The request failed unexpectedly',
  503: 'Overloaded, or shutting down'
}
const v2Errors: Content = { [V2_TYPE]: error }
/** At the root, the client names the media type. */
const rootErrors: Content = { ...v2Errors, ...json(error) }

function refusalsOf({ path, body }: Described): Operation['answers'] {
  const content = path === '/' ? rootErrors : path.startsWith('/v3') ? json(error) : v2Errors
  const described = Object.entries(refusals).map(([status, description]) => [status, { description, content }])
  return {
    ...Object.fromEntries(described),
    ...(body !== undefined && { 413: { description: 'The body is too large', content } }),
    406: { description: 'The client takes no type that there is', content: json(error) }
  }
}

/** The operations of Confluent's API for `/openapi.json`. */
export const confluentOperations: readonly Operation[] = operationsOf<Described>(all, refusalsOf)
