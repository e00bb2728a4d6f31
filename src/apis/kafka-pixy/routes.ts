import { z } from 'zod'
import type { Described } from '../../http/api/routes.js'
import { json, type Operation } from '../../http/openapi/operation.js'
import type { ConsumeEndpoint } from './consume-endpoint.js'
import { describeTopic, listTopics, readConsumers, readOffsets, writeOffsets } from './look-ups-endpoint.js'
import { int32, int64, type PixyRequest, partitionList, type RouteParts, readForm, tailStart } from './pixy-request.js'
import type { TailEndpoint } from './tail-endpoint.js'

/** Endpoints of the routes that do not produce. */
export interface Pixy extends RouteParts {
  readonly consume: ConsumeEndpoint
  readonly tail: TailEndpoint
}

interface PixyRoute extends Described {
  /** Absent: the route produces. What it throws is answered. */
  receive?(pixy: Pixy, request: PixyRequest): void
}

const text = z.string()
const topic = text.describe('The topic')
const present = (effect: string) => text.optional().describe(`Present: ${effect}`)

const failure = { content: json(z.object({ error: text })) }

const message = {
  'text/plain': text,
  'application/json': z.unknown(),
  'application/x-www-form-urlencoded': z.object({ msg: text })
}

const group = text.describe('The consumer group')

const bytesOrNull = z.string().describe('in base64, or as text with `encoding=text`').nullable()
const content = z
  .unknown()
  .describe(
    'A text in base64, or as it is with `encoding=text`; null; with `encoding=schema` the JSON that was decoded'
  )
const consumed = z.object({
  key: content,
  value: content,
  partition: z.int(),
  offset: z.int(),
  headers: z.array(z.object({ key: text, value: bytesOrNull })),
  timestamp: z
    .int()
    .nullable()
    .optional()
    .describe('with `timestamp`: epoch milliseconds, as in Kafka; null: a number does not have it exactly'),
  undecodable: z
    .object({ key: text.optional(), value: text.optional() })
    .optional()
    .describe('with `encoding=schema`: why bytes could not be decoded, which are in base64 then')
})

const timestamp = present('messages have the member `timestamp`')
const encoding = z
  .enum(['base64', 'text', 'schema'])
  .optional()
  .describe('`text`: bytes are written as text; `schema`: key and value are JSON, decoded by the schema registry')

const refusals = {
  400: { description: 'A parameter or the body is wrong, or the cluster is unknown', ...failure },
  403: { description: 'The topic or the group is not allowed', ...failure },
  500: { description: 'The offsets cannot be read from Kafka', ...failure },
  503: { description: 'Shutting down', ...failure }
}

const groupOffset = z.object({
  partition: z.int(),
  begin: z.int(),
  end: z.int(),
  count: z.int(),
  offset: z.int(),
  lag: z.int(),
  metadata: text.optional(),
  sparse_acks: text.optional().describe('what is acknowledged above the offset: `1-4,6-8`')
})

/** `look-ups-endpoint.ts` reads it; a test holds that it takes every body that this schema takes. */
export const offsetsBody = z.array(z.object({ partition: z.int32(), offset: z.int(), metadata: text.optional() }))

const partition = z.object({
  partition: z.int(),
  leader: z.int(),
  replicas: z.array(z.int()),
  isr: z.array(z.int())
})
const topicDescription = z
  .object({ config: z.object({ version: z.int(), config: z.record(text, text) }), partitions: z.array(partition) })
  .partial()
const withPartitions = present('with the partitions')
const withConfig = present('with settings of the topics')

/** The routes that each cluster has, by id. */
const routes: Readonly<Record<string, PixyRoute>> = {
  produceMessage: {
    verb: 'produce',
    method: 'post',
    path: '/topics/{topic}/messages',
    params: { topic },
    query: {
      key: text.optional().describe('Key of the message; absent: none, and any partition'),
      sync: present('the answer comes when the message is in Kafka'),
      timestamp: present('the answer names the time of the message'),
      persisted: present('the answer says whether the message is in Kafka')
    },
    summary: 'Produces a message',
    description:
      'Headers `X-Kafka-NAME` with a value in base64 become headers of the message. In a form the parameters may stand in the body.',
    body: { description: 'The message, or a form with the field `msg`', content: message },
    produces: true,
    answers: {
      200: {
        description: 'With `sync`: all in-sync replicas have the message. Without: it is accepted',
        content: json(
          z
            .object({
              partition: z.int(),
              offset: z.int(),
              timestamp: z.int().nullable().describe('with `timestamp`: epoch milliseconds'),
              persisted: z.enum(['yes']).describe('with `persisted`')
            })
            .partial()
        )
      },
      400: { description: 'No message can be made of the request, or the cluster is unknown', ...failure },
      401: { description: 'No credentials, or wrong ones', ...failure },
      403: { description: 'The topic is not allowed', ...failure },
      404: { description: 'There is no such topic', ...failure },
      413: { description: 'The body is too large', ...failure },
      429: { description: 'A quota is used up', ...failure },
      500: { description: 'Kafka has not taken the message', ...failure },
      503: { description: 'Overloaded, or shutting down', ...failure }
    }
  },
  consumeMessage: {
    verb: 'groups.consume',
    method: 'get',
    path: '/topics/{topic}/messages',
    params: { topic },
    query: {
      group,
      noAck: present('the message is offered again unless it is acknowledged in time'),
      ackPartition: int32.optional().describe('With `ackOffset`: acknowledges a message that came before'),
      ackOffset: int64.optional().describe('See `ackPartition`'),
      count: int32.optional().describe('The answer is a list of at most this many messages'),
      timestamp,
      encoding
    },
    summary: 'Consumes a message on behalf of a group',
    description:
      'The group is joined with the first request. Without `noAck` and `ackPartition` the message counts as processed when it is sent.',
    answers: {
      200: {
        description: 'The next message; with `count` a list',
        content: json(z.union([consumed, z.array(consumed)]))
      },
      400: { description: 'A parameter is missing or wrong, or the cluster is unknown', ...failure },
      403: { description: 'The topic or the group is not allowed', ...failure },
      408: { description: 'There was no message in time', ...failure },
      409: { description: 'The group is of another kind, such as a share group', ...failure },
      429: { description: 'Too many requests wait', ...failure },
      500: { description: 'The group cannot be joined', ...failure },
      503: { description: 'Switched off, or shutting down', ...failure }
    },
    receive: ({ consume }, request) => consume.consume(request)
  },
  tailTopic: {
    verb: 'follow',
    method: 'get',
    path: '/topics/{topic}/tail',
    summary: 'Follows a topic by server-sent events, without a group',
    description:
      'Each event has a message as `data`, and as `id` the position behind it: send the id as `Last-Event-ID` to continue there. Events `warning` name records that were skipped, an event `error` says why the stream ends. Comments are sent while there is nothing else.',
    params: { topic },
    query: {
      partition: partitionList.optional().describe('Partitions, with commas between them; absent: all'),
      from: tailStart.describe('Where to begin without `Last-Event-ID`; default: `latest`'),
      timestamp,
      encoding
    },
    answers: {
      200: { description: 'Messages as they come, without an end', content: { 'text/event-stream': text } },
      400: { description: 'A parameter or `Last-Event-ID` is wrong, or the cluster is unknown', ...failure },
      403: { description: 'The topic is not allowed', ...failure },
      404: { description: 'There is no such topic', ...failure },
      429: { description: 'Too many clients follow topics', ...failure },
      500: { description: 'The offsets to begin at cannot be read from Kafka', ...failure },
      503: { description: 'Switched off, or shutting down', ...failure }
    },
    receive: ({ tail }, request) => tail.tail(request)
  },
  ackMessage: {
    verb: 'groups.ack',
    method: 'post',
    path: '/topics/{topic}/acks',
    params: { topic },
    query: {
      group,
      partition: int32.describe('Partition of the message'),
      offset: int64.describe('Offset of the message')
    },
    summary: 'Acknowledges a message',
    answers: {
      200: {
        description: 'The message is acknowledged, by this request or an earlier one',
        content: json(z.object({}))
      },
      400: { description: 'A parameter is missing or wrong, or the message has not been offered', ...failure },
      403: { description: 'The topic or the group is not allowed', ...failure },
      413: { description: 'The body is too large', ...failure },
      429: { description: 'A quota is used up', ...failure },
      500: { description: 'This process does not read the partition on behalf of the group', ...failure },
      503: { description: 'Shutting down', ...failure }
    },
    receive: (pixy, request) => readForm(pixy, request, form => pixy.consume.ack(request, form))
  },
  readOffsets: {
    verb: 'groups.offsets',
    method: 'get',
    path: '/topics/{topic}/offsets',
    summary: 'Where a group stands in each partition',
    params: { topic },
    query: { group },
    answers: {
      200: { description: 'By partition', content: json(z.array(groupOffset)) },
      404: { description: 'There is no such topic', ...failure },
      ...refusals
    },
    receive: readOffsets
  },
  writeOffsets: {
    verb: 'groups.commit',
    method: 'post',
    path: '/topics/{topic}/offsets',
    summary: 'Sets offsets of a group that is not being consumed',
    params: { topic },
    query: { group },
    body: { description: 'Offset by partition; -1 is the end, -2 the beginning', content: json(offsetsBody) },
    answers: {
      200: { description: 'The offsets are set', content: json(z.object({})) },
      404: { description: 'There is no such topic or partition', ...failure },
      413: { description: 'The body is too large', ...failure },
      409: { description: 'The group is being consumed', ...failure },
      429: { description: 'A quota is used up', ...failure },
      ...refusals
    },
    receive: (pixy, request) => readForm(pixy, request, (form, body) => writeOffsets(pixy, request, form, body))
  },
  readConsumers: {
    verb: 'groups.consumers',
    method: 'get',
    path: '/topics/{topic}/consumers',
    summary: 'The members that read a topic, and their partitions',
    params: { topic },
    query: { group: text.optional().describe('Absent: all groups') },
    answers: {
      200: {
        description: 'Partitions by client, by group',
        content: json(z.record(text, z.record(text, z.array(z.int()))))
      },
      ...refusals
    },
    receive: readConsumers
  },
  listTopics: {
    verb: 'topics',
    method: 'get',
    path: '/topics',
    summary: 'The topics of the cluster',
    query: { withPartitions, withConfig },
    answers: {
      200: {
        description: 'The names of the topics; with a parameter, an object with the topics by name',
        content: json(z.union([z.array(text), z.record(text, topicDescription)]))
      },
      ...refusals
    },
    receive: listTopics
  },
  describeTopic: {
    verb: 'topics',
    method: 'get',
    path: '/topics/{topic}',
    summary: 'Settings and partitions of a topic',
    params: { topic },
    query: { withPartitions },
    answers: {
      200: {
        description: 'The settings of the topic and, when asked for, its partitions',
        content: json(topicDescription)
      },
      ...refusals
    },
    receive: describeTopic
  }
}

/** Prefix of the routes of a named cluster. The routes of the default cluster have none. */
const CLUSTER_PATH = '/clusters/{cluster}'

export const routesOfClusters: readonly (PixyRoute & Operation)[] = Object.entries(routes).flatMap(([id, route]) => [
  { ...route, id },
  {
    ...route,
    path: CLUSTER_PATH + route.path,
    id: `${id}OfCluster`,
    params: { cluster: text.describe('The cluster'), ...route.params }
  }
])

/** The operations of Kafka-Pixy for `/openapi.json`. */
export const kafkaPixyOperations: readonly Operation[] = [
  ...routesOfClusters,
  {
    id: 'ping',
    verb: 'none',
    method: 'get',
    path: '/_ping',
    summary: 'Says that the process is alive',
    answers: { 200: { description: 'It is', content: { 'text/plain': text } } }
  }
]
