import { z } from 'zod'
import type { Described } from '../../../http/api/routes.js'
import { json } from '../../../http/openapi/operation.js'
import { error } from '../look-up.js'

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

/** `record-json.ts` reads it. */
export const recordBody = z.object(recordMembers)

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
  timestamp: text,
  key: size.optional(),
  value: size.optional()
}
const recordAnswer = z.union([z.object({ error_code: z.literal(200), ...placed }), error])

const batchId = text.regex(/^[\w-]{1,80}$/)
const batchAnswer = z.object({
  successes: z.array(z.object({ id: batchId, ...placed })),
  failures: z.array(z.object({ id: batchId, error_code: z.int(), message: text }))
})

const answers = {
  400: { description: 'The charset is neither UTF-8 nor ISO-8859-1', ...failure },
  403: { description: 'The topic is not allowed', ...failure },
  415: { description: 'The content type is not application/json', ...failure },
  422: { description: 'The body is empty', ...failure }
}

/** The operations of version 3, by id. */
export const v3Operations = {
  produceRecords: {
    method: 'post',
    path: '/v3/clusters/{cluster_id}/topics/{topic_name}/records',
    params: { cluster_id, topic_name },
    summary: 'Produces records, one or a stream of them',
    description:
      'The body is one record or several that follow each other; with chunked encoding it may stay open. The answer has one object per record in their order, each with a line end, as soon as Kafka has the record.',
    body: { description: 'Records', content: json(recordBody) },
    produces: true,
    answers: {
      200: { description: 'One object per record; records may have failed', content: json(recordAnswer) },
      ...answers
    }
  },
  produceBatch: {
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
      ...answers,
      207: { description: 'What has become of each entry', content: json(batchAnswer) },
      400: { description: 'The body is not JSON, or its charset is neither UTF-8 nor ISO-8859-1', ...failure },
      422: { description: 'There are no entries, too many, or their ids are wrong', ...failure }
    }
  }
} as const satisfies Readonly<Record<string, Described>>
