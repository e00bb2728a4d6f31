import { z } from 'zod'

export const text = z.string()
/** A schema that `/openapi` names as the bridge does. */
export const model = <Schema extends z.ZodType>(title: string, schema: Schema): Schema => schema.meta({ title })

/** Every error of the bridge; `error_code` is the status of HTTP. */
export const bridgeError = model(
  'Error',
  z.object({
    error_code: z.int(),
    message: text,
    validation_errors: z.array(text).optional().describe('what the schema of the body does not allow')
  })
)
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

/** Body of `POST /topics/{topicname}`; `produce.ts` reads it. */
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
/** Body of `POST /topics/{topicname}/partitions/{partitionid}`. */
export const partitionRecordsBody = model(
  'ProducerRecordToPartitionList',
  z.strictObject({ records: z.array(model('ProducerRecordToPartition', z.strictObject(recordOf))) })
)

const offsetSent = model('OffsetRecordSent', z.object({ partition: z.int(), offset: z.int() }))
export const sentOffsets = model(
  'OffsetRecordSentList',
  z.object({ offsets: z.array(z.union([offsetSent, bridgeError])) })
)
const replica = model('Replica', z.object({ broker: z.int(), leader: z.boolean(), in_sync: z.boolean() }))
export const partitionObject = model(
  'PartitionMetadata',
  z.object({
    partition: z.int(),
    leader: z.int().describe('-1: it has none'),
    replicas: z.array(replica)
  })
)
export const topicMetadata = model(
  'TopicMetadata',
  z.object({ name: text, configs: z.record(text, text.nullable()), partitions: z.array(partitionObject) })
)
export const offsetsSummary = model('OffsetsSummary', z.object({ beginning_offset: z.int(), end_offset: z.int() }))
export const createdConsumer = model('CreatedConsumer', z.object({ instance_id: text, base_uri: text }))
const assigned = model('AssignedTopicPartitions', z.record(text, z.array(z.int())))
export const subscribed = model(
  'SubscribedTopicList',
  z.object({ topics: z.array(text), partitions: z.array(assigned) })
)

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
export const placesBody = model('Partitions', z.strictObject({ partitions: z.array(place) }))
export const bridgeOffsetsBody = model('OffsetCommitSeekList', z.strictObject({ offsets: z.array(offsetOfPlace) }))
export const bridgeCommitBody = bridgeOffsetsBody.partial()

export const consumedRecords = model(
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
        timestamp: z
          .int()
          .nullable()
          .describe('epoch milliseconds, as in Kafka; null: a number does not have it exactly'),
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
