import { z } from 'zod'
import type { Content, Operation } from '../../../http/openapi/operation.js'
import { BINARY_TYPE, EMBEDDED_JSON_TYPE, SCHEMA_TYPES, V2_TYPE } from '../media-types.js'

export type Described = Omit<Operation, 'id'>

const text = z.string()
const v2 = (schema: z.ZodType): Content => ({ [V2_TYPE]: schema })

/** Every error of Confluent's API. */
export const error = z.object({ error_code: z.int(), message: text })
const failure = { content: v2(error) }

const topic = text.describe('The topic')
const partition = z.int().describe('The partition')

export const common = {
  401: { description: 'No credentials, or wrong ones', ...failure },
  403: { description: 'The client, or Castellan itself, may not do this', ...failure },
  406: { description: 'The client takes no type that there is', content: { 'application/json': error } },
  503: { description: 'Overloaded, or shutting down', ...failure }
}

const partitionObject = z.object({
  partition: z.int(),
  leader: z.int().describe('-1: it has none'),
  replicas: z.array(z.object({ broker: z.int(), leader: z.boolean(), in_sync: z.boolean() }))
})

const header = z.object({ key: text, value: text.nullable().describe('in base64') })
const record = (bytes: z.ZodType) =>
  z.object({
    key: bytes.nullish(),
    value: bytes.nullish(),
    partition: z.int().min(0).nullish().describe('absent: that of the path, else by the key'),
    headers: z.array(header).nullish().describe('with `apis.confluent.recordMembers`'),
    timestamp: z.int().nullish().describe('epoch milliseconds; with `apis.confluent.recordMembers`')
  })
const schemaMembers = {
  key_schema: z.unknown().optional().describe('known, and without effect'),
  key_schema_id: z.unknown().optional(),
  value_schema: z.unknown().optional(),
  value_schema_id: z.unknown().optional()
}
const schemaText = text.nullish().describe('the text of a schema, which is looked up, or registered')
const schemaId = z.int().nullish().describe('the id of a schema, in place of its text')

/** `produce-body.ts` reads it; a test holds that it takes every body that these schemas take. */
export const binaryBody = z.object({
  records: z.array(record(text.describe('in base64'))).min(1),
  ...schemaMembers
})
export const jsonBody = z.object({ records: z.array(record(z.unknown())).min(1), ...schemaMembers })
/** Keys need a schema or its id, as values do. */
const schemaBody = z.object({
  key_schema: schemaText,
  key_schema_id: schemaId,
  value_schema: schemaText,
  value_schema_id: schemaId,
  records: z.array(record(z.unknown())).min(1)
})

const offsets = z.object({
  offsets: z.array(
    z.object({
      partition: z.int().nullable(),
      offset: z.int().nullable(),
      error_code: z.int().nullable(),
      error: text.nullable()
    })
  ),
  key_schema_id: z.int().nullable(),
  value_schema_id: z.int().nullable()
})

const produceAnswers: Operation['answers'] = {
  ...common,
  200: { description: 'One entry for each record, in their order; records may have failed', content: v2(offsets) },
  400: {
    description: 'The body is not JSON, or a key or value is not base64 or does not fit its schema; nothing is written',
    ...failure
  },
  401: {
    description: 'No credentials, or wrong ones; where Kafka refuses those of Castellan, one entry for each record',
    content: v2(z.union([offsets, error]))
  },
  403: {
    description: 'The topic is not allowed; where Kafka refuses it, one entry for each record',
    content: v2(z.union([offsets, error]))
  },
  404: { description: 'There is no such topic, or no such partition', ...failure },
  413: { description: 'The body is too large, or has too many records', ...failure },
  415: { description: 'The content type is none of these', content: { ...v2(error), 'application/json': error } },
  422: {
    description:
      'A member is missing or unknown, there are no records, or a schema is missing (42201, 42202), wrong (42205), or cannot be used (42206, 42207)',
    ...failure
  },
  429: { description: 'A quota is used up', ...failure },
  500: { description: 'The request failed unexpectedly', ...failure }
}

const produce: Described = {
  method: 'post',
  path: '/topics/{topic}',
  params: { topic },
  summary: 'Produces records',
  description: 'Answered when every record is in Kafka, or has failed.',
  body: {
    description: 'The records',
    content: {
      [BINARY_TYPE]: binaryBody,
      [EMBEDDED_JSON_TYPE]: jsonBody,
      ...Object.fromEntries(Object.values(SCHEMA_TYPES).map(type => [type, schemaBody]))
    }
  },
  produces: true,
  answers: produceAnswers
}

const lookUpAnswers = (description: string, schema: z.ZodType): Operation['answers'] => ({
  ...common,
  200: { description, content: v2(schema) },
  404: { description: 'There is no such topic, or no such partition', ...failure },
  500: { description: 'Kafka cannot be asked', ...failure }
})

/** The operations of version 2, by id. */
export const v2Operations = {
  root: {
    method: 'get',
    path: '/',
    summary: 'Says that the API is there',
    answers: { 200: { description: 'An empty object', content: v2(z.object({})) } }
  },
  postRoot: {
    method: 'post',
    path: '/',
    summary: 'The same',
    answers: { 200: { description: 'An empty object', content: v2(z.object({})) } }
  },
  listTopics: {
    method: 'get',
    path: '/topics',
    summary: 'The names of the topics',
    answers: lookUpAnswers('The names', z.array(text))
  },
  getTopic: {
    method: 'get',
    path: '/topics/{topic}',
    params: { topic },
    summary: 'Settings and partitions of a topic',
    answers: lookUpAnswers(
      'The topic',
      z.object({ name: text, configs: z.record(text, text.nullable()), partitions: z.array(partitionObject) })
    )
  },
  produce,
  produceToPartition: {
    ...produce,
    path: '/topics/{topic}/partitions/{partition}',
    params: { topic, partition },
    summary: 'Produces records to one partition'
  },
  listPartitions: {
    method: 'get',
    path: '/topics/{topic}/partitions',
    params: { topic },
    summary: 'The partitions of a topic',
    answers: lookUpAnswers('The partitions', z.array(partitionObject))
  },
  getPartition: {
    method: 'get',
    path: '/topics/{topic}/partitions/{partition}',
    params: { topic, partition },
    summary: 'A partition',
    answers: lookUpAnswers('The partition', partitionObject)
  },
  getOffsets: {
    method: 'get',
    path: '/topics/{topic}/partitions/{partition}/offsets',
    params: { topic, partition },
    summary: 'Where the log of a partition begins and ends',
    answers: lookUpAnswers('The offsets', z.object({ beginning_offset: z.int(), end_offset: z.int() }))
  },
  listBrokers: {
    method: 'get',
    path: '/brokers',
    summary: 'The ids of the brokers',
    answers: lookUpAnswers('The brokers', z.object({ brokers: z.array(z.int()) }))
  }
} as const satisfies Readonly<Record<string, Described>>
