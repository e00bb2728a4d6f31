import { z } from 'zod'
import type { MonotonicClock } from '../../../core/model.js'
import type { Caller } from '../../../http/access/access.js'
import { admits, admitsRuled, type Params, seenBy } from '../../../http/api/endpoint.js'
import { LongList, lazily } from '../../../http/api/long-lists.js'
import { type AnsweredRoute, type Described, describedPath } from '../../../http/api/routes.js'
import type { Content, Operation } from '../../../http/openapi/operation.js'
import type { VerbPath } from '../../../verbs/facts.js'
import type { TopicMetadata, Verbs } from '../../../verbs/verbs.js'
import {
  answerAllowed,
  type ConfluentParts,
  error,
  type FoundPartition,
  inOrderOfBytes,
  noPartition,
  requirePartition,
  TimeLeft,
  usableTopic
} from '../look-up.js'
import { BINARY_TYPE, EMBEDDED_JSON_TYPE, SCHEMA_TYPES, V2_TYPE } from '../media-types.js'

const text = z.string()
const v2 = (schema: z.ZodType): Content => ({ [V2_TYPE]: schema })
const failure = { content: v2(error) }

const topic = text.describe('The topic')
const partition = z.int().describe('The partition')

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

/** `produce-endpoint.ts` reads it; a test holds that it takes every body that these schemas take. */
const binaryBody = z.object({
  records: z.array(record(text.describe('in base64'))).min(1),
  ...schemaMembers
})
const jsonBody = z.object({ records: z.array(record(z.unknown())).min(1), ...schemaMembers })
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
  }
}

const produce: Described = {
  verb: 'produce',
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

/** The parts that answer requests about topics, partitions and brokers. */
export interface LookUpParts {
  readonly parts: ConfluentParts
  readonly verbs: Verbs
  /** Time limit of a whole request. */
  readonly timeoutMs: number
  readonly clock: MonotonicClock
}

type V2Route = AnsweredRoute<LookUpParts>

/** A request that has its permission. */
interface AskV2 {
  readonly verbs: Verbs
  readonly time: TimeLeft
  readonly caller: Caller
  readonly params: Params
}

/** A route that reads. @param description of the answer */
function read(
  verb: VerbPath,
  path: string,
  summary: string,
  description: string,
  schema: z.ZodType,
  work: (ask: AskV2) => Promise<unknown>
): V2Route {
  return {
    verb,
    method: 'get',
    ...describedPath(path, { topic, partition }),
    summary,
    answers: {
      200: { description, content: v2(schema) },
      403: { description: 'The client, or Castellan itself, may not do this', ...failure },
      404: { description: 'There is no such topic, or no such partition', ...failure },
      500: { description: 'Kafka cannot be asked', ...failure }
    },
    receive({ parts, verbs, timeoutMs, clock }, exchange, params) {
      const { topic } = params
      if (!admits(parts, exchange, verb, { topic })) return
      const caller = parts.access.callerOf(exchange.request)
      answerAllowed(parts, exchange, 'v2', topic, async () =>
        work({ verbs, time: new TimeLeft(timeoutMs, clock), caller, params })
      )
    }
  }
}

const root = (method: 'get' | 'post', summary: string): V2Route => ({
  verb: 'none',
  method,
  path: '/',
  summary,
  answers: { 200: { description: 'An empty object', content: v2(z.object({})) } },
  receive({ parts }, exchange) {
    if (admitsRuled(parts, exchange)) parts.answers.ok(exchange, 'v2', '{}')
  }
})

const find = async ({ verbs, time, params: { topic = '' } }: AskV2): Promise<TopicMetadata> =>
  usableTopic(await verbs.topics([topic], time.ms), topic)

async function partitionOf(ask: AskV2): Promise<FoundPartition> {
  return requirePartition(await find(ask), ask.params.partition ?? '')
}

const PARTITION = '/topics/{topic}/partitions/{partition}'

/** The routes of version 2 that read topics, partitions and brokers, by id. */
export const lookUpRoutes = {
  root: root('get', 'Says that the API is there'),
  postRoot: root('post', 'The same'),
  listTopics: read(
    'topics',
    '/topics',
    'The names of the topics',
    'The names',
    z.array(text),
    async ({ verbs, time, caller }) => {
      const all = await verbs.topics('all', time.ms)
      const isVisible = seenBy(caller, 'topics', 'topic')
      const names = lazily(() => [...all.keys()].filter(topic => isVisible({ topic })).sort(inOrderOfBytes))
      return new LongList('topics', '[', names, ']')
    }
  ),
  getTopic: read(
    'topics',
    '/topics/{topic}',
    'Settings and partitions of a topic',
    'The topic',
    z.object({ name: text, configs: z.record(text, text.nullable()), partitions: z.array(partitionObject) }),
    async ask => {
      const { topic: name, partitions } = await find(ask)
      const entries = await ask.verbs.admin.describeConfigs([{ type: 'topic', name }], ask.time.ms)
      const configs = Object.fromEntries((entries.get(name) ?? []).map(({ name, value }) => [name, value]))
      const empty = JSON.stringify({ name, configs, partitions: [] })
      const end = empty.length - ']}'.length
      return new LongList('topic', empty.slice(0, end), partitionsJson(partitions), empty.slice(end))
    }
  ),
  listPartitions: read(
    'topics',
    '/topics/{topic}/partitions',
    'The partitions of a topic',
    'The partitions',
    z.array(partitionObject),
    async ask => new LongList('partitions', '[', partitionsJson((await find(ask)).partitions), ']')
  ),
  getPartition: read('topics', PARTITION, 'A partition', 'The partition', partitionObject, async ask =>
    partitionJson(await partitionOf(ask))
  ),
  getOffsets: read(
    'admin.logEnds',
    `${PARTITION}/offsets`,
    'Where the log of a partition begins and ends',
    'The offsets',
    z.object({ beginning_offset: z.int(), end_offset: z.int() }),
    async ask => {
      const { topic = '', partition: text = '' } = ask.params
      const { partition } = await partitionOf(ask)
      const [ends] = await ask.verbs.admin.logEnds([{ topic, partition }], ask.time.ms)
      if (ends === undefined) throw noPartition(topic, text)
      return { beginning_offset: ends.start, end_offset: ends.end }
    }
  ),
  listBrokers: read(
    'admin.describeCluster',
    '/brokers',
    'The ids of the brokers',
    'The brokers',
    z.object({ brokers: z.array(z.int()) }),
    async ({ verbs, time }) => {
      const { brokers } = await verbs.admin.describeCluster(time.ms)
      return { brokers: brokers.map(({ nodeId }) => nodeId) }
    }
  )
} as const satisfies Readonly<Record<string, V2Route>>

export const produceOperations = {
  produce,
  produceToPartition: {
    ...produce,
    ...describedPath(PARTITION, { topic, partition }),
    summary: 'Produces records to one partition'
  }
} as const satisfies Readonly<Record<string, Described>>

function* partitionsJson(partitions: readonly FoundPartition[]): Iterable<object> {
  for (const partition of partitions) yield partitionJson(partition)
}

const partitionJson = ({ partition, leaderId: leader, replicas, isr }: FoundPartition): object => ({
  partition,
  leader,
  replicas: replicas.map(broker => ({ broker, leader: broker === leader, in_sync: isr.includes(broker) }))
})
