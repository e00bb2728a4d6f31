import { z } from 'zod'
import type { Body, Content, Operation } from '../../../http/openapi/operation.js'
import { BINARY_TYPE, EMBEDDED_JSON_TYPE, SCHEMA_TYPES, V2_TYPE } from '../media-types.js'
import { common, type Described, error } from './operations.js'

const text = z.string()
/** Answers are of the type that the client asks for, an embedded one too. */
const v2 = (schema: z.ZodType): Content => ({
  [V2_TYPE]: schema,
  [BINARY_TYPE]: schema,
  [EMBEDDED_JSON_TYPE]: schema,
  ...Object.fromEntries(Object.values(SCHEMA_TYPES).map(type => [type, schema]))
})
const failure = { content: v2(error) }
/** A number, or the number as a text. */
const whole = z.union([z.int(), z.string().regex(/^-?\d+$/)])
/** Settings of Kafka's consumer may be texts; Kafka reads them. */
const truth = z.union([z.boolean(), z.number(), text])
/** A number that names a partition or an offset, or the number as a text. */
const index = z.union([z.int().min(0), z.string().regex(/^\d{1,15}$/)], { error: 'expected a whole number from 0 on' })

const params = {
  group: text.describe('The consumer group'),
  instance: text.describe('The name of the instance')
}
const partition = z.strictObject({ topic: text, partition: z.int().min(0) })
const offset = z.strictObject({
  topic: text,
  partition: z.int().min(0),
  offset: z.int().min(0),
  metadata: text.nullish()
})
const namedPartition = z.strictObject({ topic: text, partition: index })
const namedOffset = z.strictObject({ topic: text, partition: index, offset: index, metadata: text.nullish() })
const namedTime = z.strictObject({
  topic: text,
  partition: index,
  timestamp: z.union([text, z.number()]).describe('ISO 8601, or a number of seconds since 1970'),
  metadata: text.nullish()
})

/** The body that creates an instance. Other settings of Kafka's consumer are taken, and have no effect. */
export const createBody = z.looseObject({
  id: text.nullish().describe('a former spelling of `name`, which wins'),
  name: text.nullish(),
  format: text
    .nullish()
    .describe('`binary` (default), `json`, or with a schema registry `avro`, `jsonschema` or `protobuf`'),
  'auto.offset.reset': text.nullish().describe('`earliest`, `latest` or `none`'),
  'auto.commit.enable': truth.nullish().describe('true or false, also as a text'),
  'enable.auto.commit': truth.nullish().describe('another spelling'),
  'fetch.min.bytes': whole.nullish().describe('-1 to 10000000; -1: a read returns with the first records'),
  'consumer.request.timeout.ms': whole.nullish(),
  responseMinBytes: whole.nullish().describe('another spelling of `fetch.min.bytes`'),
  requestWaitMs: whole.nullish().describe('another spelling of `consumer.request.timeout.ms`')
})
export const subscriptionBody = z.strictObject({
  topics: z.array(text).nullish(),
  topic_pattern: text.nullish().describe("a regular expression in RE2's syntax that matches whole names")
})
export const partitionsBody = z.strictObject({ partitions: z.array(namedPartition) })
export const positionsBody = z.strictObject({
  offsets: z.array(namedOffset).nullish(),
  timestamps: z.array(namedTime).nullish()
})
export const commitBody = z.strictObject({ offsets: z.array(namedOffset).nullish() })

const bodyOf = (description: string, schema: z.ZodType, required = true): Body => ({
  description,
  content: v2(schema),
  required
})

const answers = (status: 200 | 204, description: string, schema?: z.ZodType): Operation['answers'] => ({
  ...common,
  [status]: schema === undefined ? { description } : { description, content: v2(schema) },
  400: { description: 'The body is not JSON, or a member is of the wrong kind', ...failure },
  403: { description: 'The client, or Castellan itself, may not read the group or a topic', ...failure },
  404: { description: 'There is no such instance (40403), topic or partition', ...failure },
  415: { description: 'The content type is another one', content: { ...v2(error), 'application/json': error } },
  422: { description: 'The body, or a member of it, is missing or unknown, or a setting is not valid', ...failure },
  429: { description: 'A quota is used up', ...failure },
  500: { description: 'Kafka cannot be asked', ...failure }
})
const conflict = (description: string): Operation['answers'] => ({ 409: { description, ...failure } })

const instance = '/consumers/{group}/instances/{instance}'
const bytes = z.unknown().describe('in base64, or the JSON value')

/** The operations of consumer instances, by id. */
export const consumerOperations = {
  createInstance: {
    method: 'post',
    path: '/consumers/{group}',
    params: { group: params.group },
    summary: 'Creates a consumer instance',
    // Kafka's other settings are not described: generated clients would send their own spellings of the known ones, too.
    body: bodyOf('The settings of the instance; absent: the defaults', z.object(createBody.shape), false),
    answers: {
      ...answers(200, 'The instance', z.object({ instance_id: text, base_uri: text })),
      ...conflict('The group has an instance of this name (40902)')
    }
  },
  deleteInstance: {
    method: 'delete',
    path: instance,
    params,
    summary: 'Removes an instance; it leaves its group',
    answers: answers(204, 'It is removed')
  },
  subscribe: {
    method: 'post',
    path: `${instance}/subscription`,
    params,
    summary: 'Subscribes to topics, in place of an earlier subscription',
    body: bodyOf('The topics, or a pattern; topics win', subscriptionBody),
    answers: { ...answers(204, 'It is subscribed'), ...conflict('Partitions were assigned to it (40903)') }
  },
  getSubscription: {
    method: 'get',
    path: `${instance}/subscription`,
    params,
    summary: 'The topics of the subscription',
    answers: answers(200, 'The topics', z.object({ topics: z.array(text) }))
  },
  unsubscribe: {
    method: 'delete',
    path: `${instance}/subscription`,
    params,
    summary: 'Ends the subscription, or the assignment',
    answers: answers(204, 'It has ended')
  },
  assignPartitions: {
    method: 'post',
    path: `${instance}/assignments`,
    params,
    summary: 'Assigns partitions, in place of earlier ones',
    body: bodyOf('The partitions', partitionsBody),
    answers: { ...answers(204, 'They are assigned'), ...conflict('The instance is subscribed (40903)') }
  },
  getAssignments: {
    method: 'get',
    path: `${instance}/assignments`,
    params,
    summary: 'The partitions that the instance reads',
    answers: answers(200, 'The partitions', z.object({ partitions: z.array(partition) }))
  },
  seekPositions: {
    method: 'post',
    path: `${instance}/positions`,
    params,
    summary: 'Reads partitions from given offsets or times on',
    body: bodyOf('The offsets or times', positionsBody),
    answers: { ...answers(204, 'The positions are set'), ...conflict('A partition is not assigned (40903)') }
  },
  seekBeginning: {
    method: 'post',
    path: `${instance}/positions/beginning`,
    params,
    summary: 'Reads partitions from their beginning on',
    body: bodyOf('The partitions', partitionsBody),
    answers: { ...answers(204, 'The positions are set'), ...conflict('A partition is not assigned (40903)') }
  },
  seekEnd: {
    method: 'post',
    path: `${instance}/positions/end`,
    params,
    summary: 'Reads partitions from their end on',
    body: bodyOf('The partitions', partitionsBody),
    answers: { ...answers(204, 'The positions are set'), ...conflict('A partition is not assigned (40903)') }
  },
  readRecords: {
    method: 'get',
    path: `${instance}/records`,
    params,
    query: {
      timeout: z
        .int()
        .min(0)
        .optional()
        .describe('milliseconds; the shorter one of this and that of the instance counts'),
      max_bytes: z
        .int()
        .optional()
        .describe('the smaller one of this and that of the API counts; one record always comes')
    },
    summary: 'Reads records',
    description:
      'Records whose answer does not reach the client are read again. A record that cannot be decoded fails the read with code 40801; with the header `x-castellan-undecodable: skip` it is left out, with `include` it has `error_code` and `error`.',
    answers: {
      ...answers(
        200,
        'The records; none within the time: an empty list',
        z.array(
          z.object({
            topic: text,
            key: bytes,
            value: bytes,
            partition: z.int(),
            offset: z.int(),
            error_code: z.int().optional(),
            error: text.optional()
          })
        )
      ),
      406: {
        description: 'The instance has the other format (40601), or the client takes no type that there is',
        content: { ...v2(error), 'application/json': error }
      },
      408: { description: 'A key or value is not JSON (40801); a position after it skips it', ...failure },
      ...conflict('The instance has neither a subscription nor an assignment (40903)')
    }
  },
  commitOffsets: {
    method: 'post',
    path: `${instance}/offsets`,
    params,
    summary: 'Commits offsets; stores the next one',
    description: 'Without a body: after the records that the client has got. Answered when Kafka has them.',
    body: bodyOf('The offsets of the last processed records', commitBody, false),
    answers: answers(200, 'They are stored', z.array(z.never()))
  },
  getCommitted: {
    method: 'get',
    path: `${instance}/offsets`,
    params,
    query: {
      topic: text.optional().describe('in place of a body, for clients that cannot send one'),
      partition: z.int().min(0).optional()
    },
    summary: 'The committed offsets of partitions',
    description:
      'The partitions stand in a body, `{"partitions":[{"topic":"orders","partition":0}]}`, or in the query.',
    answers: answers(200, 'The offsets; partitions without one are left out', z.object({ offsets: z.array(offset) }))
  }
} as const satisfies Readonly<Record<string, Described>>
