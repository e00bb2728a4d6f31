import { z } from 'zod'
import { type Body, type Content, json, type Operation } from '../../http/openapi/operation.js'
import { RECORD_TYPES, V2_TYPE } from './strimzi-answers.js'

type Described = Omit<Operation, 'id'>
type Answers = Operation['answers']

const text = z.string()
const v2 = (schema: z.ZodType): Content => ({ [V2_TYPE]: schema })
const ofRecords = (schema: z.ZodType): Content =>
  Object.fromEntries(Object.values(RECORD_TYPES).map(type => [type, schema]))

/** A schema that `/openapi` names as the bridge does. */
const model = <Schema extends z.ZodType>(title: string, schema: Schema): Schema => schema.meta({ title })

/** Every error of the bridge; `error_code` is the status of HTTP. */
const error = model(
  'Error',
  z.object({
    error_code: z.int(),
    message: text,
    validation_errors: z.array(text).optional().describe('what the schema of the body does not allow')
  })
)
const failure = (description: string) => ({ description, content: v2(error) })

/** Refusals that each operation can answer with, unless it says more. */
const refusals: Answers = {
  400: failure('The request does not have the described form'),
  401: failure('No credentials, or wrong ones'),
  403: failure('The client may not do this'),
  408: failure('The request comes too slowly'),
  429: failure('A quota is used up'),
  500: failure('The request failed in Kafka, or unexpectedly'),
  503: failure('Overloaded, or shutting down')
}
const bodyRefusals: Answers = { 413: failure('The body is too large') }

const bytes = z.union([z.array(z.unknown()), z.record(text, z.unknown()), text])
const header = model('KafkaHeader', z.object({ key: text, value: text.nullable().describe('in base64') }))
const headers = model('KafkaHeaderList', z.array(header))
const recordOf = {
  key: model('RecordKey', bytes)
    .optional()
    .describe('in json any list, object or text; in binary base64; in text a text'),
  value: model('RecordValue', bytes).nullable().describe('as `key`; null: a tombstone'),
  headers: headers.optional()
}
const partition = z.int().min(0)
const timestamp = z.int().describe('epoch milliseconds')

/** What `POST /topics/{topicname}` takes; `produce-body.ts` reads it. */
export const recordsBody = model(
  'ProducerRecordList',
  z.strictObject({
    records: z.array(
      model(
        'ProducerRecord',
        z.strictObject({ ...recordOf, partition: partition.optional(), timestamp: timestamp.optional() })
      )
    )
  })
)
/** What `POST /topics/{topicname}/partitions/{partitionid}` takes. */
export const partitionRecordsBody = model(
  'ProducerRecordToPartitionList',
  z.strictObject({ records: z.array(model('ProducerRecordToPartition', z.strictObject(recordOf))) })
)

const offsetSent = model('OffsetRecordSent', z.object({ partition: z.int(), offset: z.int() }))
const offsets = model('OffsetRecordSentList', z.object({ offsets: z.array(z.union([offsetSent, error])) }))
const replica = model('Replica', z.object({ broker: z.int(), leader: z.boolean(), in_sync: z.boolean() }))
const partitionObject = model(
  'PartitionMetadata',
  z.object({
    partition: z.int(),
    leader: z.int().describe('-1: it has none'),
    replicas: z.array(replica)
  })
)
const topicMetadata = model(
  'TopicMetadata',
  z.object({ name: text, configs: z.record(text, text.nullable()), partitions: z.array(partitionObject) })
)
const summary = model('OffsetsSummary', z.object({ beginning_offset: z.int(), end_offset: z.int() }))
const created = model('CreatedConsumer', z.object({ instance_id: text, base_uri: text }))
const assigned = model('AssignedTopicPartitions', z.record(text, z.array(z.int())))
const subscribed = model('SubscribedTopicList', z.object({ topics: z.array(text), partitions: z.array(assigned) }))

export const newTopicBody = model(
  'NewTopic',
  z.strictObject({
    topic_name: text,
    partitions_count: z.int().nullish().describe("absent: the brokers' default"),
    replication_factor: z.int().nullish().describe("absent: the brokers' default")
  })
)
export const consumerBody = model(
  'Consumer',
  z.strictObject({
    name: text.optional().describe('unique in its group; absent: one is made up'),
    format: text.optional().describe('`binary` (default), `json` or `text`'),
    'auto.offset.reset': text.optional().describe('`earliest`, `latest` or `none`'),
    'fetch.min.bytes': z.int().optional().describe('a read waits for so many bytes of keys and values'),
    'consumer.request.timeout.ms': z.int().optional().describe('known, and without effect'),
    'enable.auto.commit': z.boolean().optional(),
    'isolation.level': text.optional().describe('`read_uncommitted` or `read_committed`')
  })
)
export const topicsBody = model(
  'Topics',
  z.strictObject({
    topics: z.array(text).optional(),
    topic_pattern: text.optional().describe("a regular expression in RE2's syntax that matches whole names")
  })
)
const place = model('Partition', z.strictObject({ topic: text, partition }))
const offsetOfPlace = model('OffsetCommitSeek', place.extend({ offset: z.int().min(0) }))
export const partitionsBody = model('Partitions', z.strictObject({ partitions: z.array(place) }))
export const offsetsBody = model('OffsetCommitSeekList', z.strictObject({ offsets: z.array(offsetOfPlace) }))
export const commitBody = offsetsBody.partial()

const consumed = model(
  'ConsumerRecordList',
  z.array(
    model(
      'ConsumerRecord',
      z.object({
        topic: text,
        key: z.unknown(),
        value: z.unknown(),
        partition: z.int(),
        offset: z.int(),
        timestamp: z.int(),
        headers: headers.optional().describe('absent: there are none'),
        error_code: z
          .int()
          .optional()
          .describe('of a record that cannot be decoded, with `x-castellan-undecodable: include`'),
        error: text.optional()
      })
    )
  )
)

const topicname = text.describe('The topic')
const partitionid = z.int().min(0).describe('The partition')
const group = { groupid: text.describe('The consumer group') }
const instance = { ...group, name: text.describe('The name of the consumer') }
const INSTANCE = '/consumers/{groupid}/instances/{name}'

const bodyOf = (description: string, content: Content, required = true): Body => ({ description, content, required })

const produce = (schema: z.ZodType): Pick<Described, 'method' | 'query' | 'body' | 'produces' | 'answers'> => ({
  method: 'post',
  query: {
    async: z
      .boolean()
      .optional()
      .describe('true: answered 204 when the records are accepted, on disk with `durability: disk`')
  },
  body: bodyOf('The records', ofRecords(schema)),
  produces: true,
  answers: {
    200: { description: 'One entry for each record, in their order; records may have failed', content: v2(offsets) },
    204: { description: 'With `async`: the records are accepted' },
    422: failure('A key, value or header has another form than the format asks for')
  }
})

const lookUp = (path: string, summary: string, schema: z.ZodType, params?: Described['params']): Described => ({
  method: 'get',
  path,
  ...(params && { params }),
  summary,
  answers: {
    200: { description: 'What was asked for', content: v2(schema) },
    404: failure('There is no such topic, or no such partition')
  }
})

const verb = (
  method: 'get' | 'post' | 'delete',
  path: string,
  summary: string,
  further: Pick<Described, 'body'> & { readonly answers?: Answers } = {}
): Described => ({
  method,
  path: `${INSTANCE}${path}`,
  params: instance,
  summary,
  ...further,
  answers: {
    ...(further.answers?.[200] === undefined && { 204: { description: 'Done' } }),
    404: failure('There is no such consumer, or it does not read a named partition'),
    422: failure('A name, a number or the pattern cannot be used'),
    ...further.answers
  }
})
const body = (schema: z.ZodType, required = true): Pick<Described, 'body'> => ({
  body: bodyOf('As described', v2(schema), required)
})
const exclusive = { 409: failure('The consumer has a subscription or an assignment of another kind') }

const plain = (path: string, summary: string, answers: Answers): Described => ({
  method: 'get',
  path,
  summary,
  answers
})

/** The operations of the bridge by the ids that it has published. */
const operations = {
  send: { ...produce(recordsBody), path: '/topics/{topicname}', params: { topicname }, summary: 'Produces records' },
  sendToPartition: {
    ...produce(partitionRecordsBody),
    path: '/topics/{topicname}/partitions/{partitionid}',
    params: { topicname, partitionid },
    summary: 'Produces records to one partition'
  },
  listTopics: lookUp('/topics', 'The names of the topics', z.array(text)),
  getTopic: lookUp('/topics/{topicname}', 'Settings and partitions of a topic', topicMetadata, { topicname }),
  listPartitions: lookUp('/topics/{topicname}/partitions', 'The partitions of a topic', z.array(partitionObject), {
    topicname
  }),
  getPartition: lookUp('/topics/{topicname}/partitions/{partitionid}', 'A partition', partitionObject, {
    topicname,
    partitionid
  }),
  getOffsets: lookUp(
    '/topics/{topicname}/partitions/{partitionid}/offsets',
    'Where the log of a partition begins and ends',
    summary,
    { topicname, partitionid }
  ),
  createTopic: {
    method: 'post',
    path: '/admin/topics',
    summary: 'Creates a topic',
    body: bodyOf('The topic', { [RECORD_TYPES.json]: newTopicBody }),
    answers: {
      201: { description: 'The topic is created', content: v2(z.object({})) },
      409: failure('There is a topic of this name'),
      422: failure('Kafka does not take the name or a number')
    }
  },
  createConsumer: {
    method: 'post',
    path: '/consumers/{groupid}',
    params: group,
    summary: 'Creates a consumer',
    ...body(consumerBody, false),
    answers: {
      200: { description: 'Its name and address', content: v2(created) },
      409: failure('The group has a consumer of this name'),
      422: failure('A setting has a value that is not known')
    }
  },
  deleteConsumer: verb('delete', '', 'Removes a consumer'),
  subscribe: verb('post', '/subscription', 'Subscribes to topics', { ...body(topicsBody), answers: exclusive }),
  unsubscribe: verb('delete', '/subscription', 'Ends a subscription or an assignment'),
  listSubscriptions: verb('get', '/subscription', 'The topics, and the partitions that are read now', {
    answers: {
      200: {
        description: 'Topics, and partitions by topic',
        content: v2(subscribed)
      }
    }
  }),
  assign: verb('post', '/assignments', 'Assigns partitions', { ...body(partitionsBody), answers: exclusive }),
  seek: verb('post', '/positions', 'Moves the positions of partitions', body(offsetsBody)),
  seekToBeginning: verb('post', '/positions/beginning', 'Moves to the first records', body(partitionsBody)),
  seekToEnd: verb('post', '/positions/end', 'Moves behind the last records', body(partitionsBody)),
  poll: {
    ...verb('get', '/records', 'Reads records', {
      answers: {
        200: { description: 'The records; none came in time: an empty list', content: ofRecords(consumed) },
        406: failure('Accept does not name the format of the consumer, or a record is not in this format')
      }
    }),
    query: {
      timeout: z.int().min(0).optional().describe('how long to wait, in milliseconds. Default: 100'),
      max_bytes: z.int().min(0).optional().describe('limit for keys and values; one record is returned in any case')
    }
  },
  commit: verb('post', '/offsets', 'Commits offsets as they are given; without a body those that were read', {
    ...body(commitBody, false)
  }),
  healthy: plain('/healthy', 'Answers while the process serves requests', { 200: { description: 'It does' } }),
  ready: plain('/ready', 'Whether Kafka answers', {
    200: { description: 'It does' },
    500: { description: 'It does not', content: v2(error) }
  }),
  openapi: plain('/openapi', 'These operations', {
    200: { description: 'An OpenAPI 3.1 document', content: json(z.looseObject({})) }
  }),
  openapiv3: plain('/openapi/v3', 'The same', {
    200: { description: 'An OpenAPI 3.1 document', content: json(z.looseObject({})) }
  }),
  metrics: plain('/metrics', 'Metrics in the text format of Prometheus', {
    200: { description: 'The metrics of this process', content: { 'text/plain': text } },
    404: failure('Several processes serve: only the management port has the metrics of all')
  }),
  info: plain('/', 'Says which version answers', {
    200: { description: 'The version', content: json(model('BridgeInfo', z.object({ bridge_version: text }))) }
  })
} as const satisfies Readonly<Record<string, Described>>

export type OperationId = keyof typeof operations

const CONSUMERS = ['Consumers']
const TOPICS = ['Topics']
const SEEK = ['Seek', ...CONSUMERS]
const PRODUCER = [...TOPICS, 'Producer']

/** The groups in which the bridge lists its operations. Operations of the process itself have none. */
export const TAGS: Readonly<Partial<Record<OperationId, readonly string[]>>> = {
  send: PRODUCER,
  sendToPartition: PRODUCER,
  listTopics: TOPICS,
  getTopic: TOPICS,
  listPartitions: TOPICS,
  getPartition: TOPICS,
  getOffsets: TOPICS,
  createTopic: TOPICS,
  createConsumer: CONSUMERS,
  deleteConsumer: CONSUMERS,
  subscribe: CONSUMERS,
  unsubscribe: CONSUMERS,
  listSubscriptions: CONSUMERS,
  assign: CONSUMERS,
  seek: SEEK,
  seekToBeginning: SEEK,
  seekToEnd: SEEK,
  poll: CONSUMERS,
  commit: CONSUMERS
}

export const strimziOperations: readonly (Operation & { readonly id: OperationId })[] = Object.entries(operations).map(
  ([id, operation]: [string, Described]) => ({
    ...operation,
    id: id as OperationId,
    answers: { ...refusals, ...(operation.body !== undefined && bodyRefusals), ...operation.answers }
  })
)
