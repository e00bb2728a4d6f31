import {
  integer,
  type JsonSchema,
  json,
  listOf,
  nullable,
  type Operation,
  object,
  oneOf,
  type Parameter,
  text
} from '../../http/openapi/operation.js'

const topic: Parameter = { name: 'topic', in: 'path', description: 'The topic' }

const failure = { content: json(object({ error: text })) }

const message = {
  'text/plain': text,
  'application/json': {},
  'application/x-www-form-urlencoded': object({ msg: text })
}

const produce: Omit<Operation, 'path' | 'id' | 'parameters'> = {
  method: 'post',
  summary: 'Produces a message',
  description:
    'Headers `X-Kafka-NAME` with a value in base64 become headers of the message. In a form the parameters may stand in the body.',
  body: { description: 'The message, or a form with the field `msg`', content: message },
  produces: true,
  answers: {
    200: {
      description: 'With `sync`: all in-sync replicas have the message. Without: it is accepted',
      content: json({ type: 'object', properties: { partition: integer, offset: integer } })
    },
    400: { description: 'No message can be made of the request, or the cluster is unknown', ...failure },
    401: { description: 'No credentials, or wrong ones', ...failure },
    403: { description: 'The topic is not allowed', ...failure },
    404: { description: 'There is no such topic', ...failure },
    413: { description: 'The body is too large', ...failure },
    429: { description: 'A quota is used up', ...failure },
    500: { description: 'Kafka has not taken the message', ...failure },
    503: { description: 'No room for the message, or shutting down', ...failure }
  }
}

const produceParameters: readonly Parameter[] = [
  topic,
  { name: 'key', in: 'query', description: 'Key of the message; absent: none, and any partition' },
  { name: 'sync', in: 'query', description: 'Present: the answer comes when the message is in Kafka' },
  { name: 'timestamp', in: 'query', description: 'Present: the answer names the time of the message' },
  { name: 'persisted', in: 'query', description: 'Present: the answer says whether the message is in Kafka' }
]

const group: Parameter = { name: 'group', in: 'query', description: 'The consumer group', required: true }

const bytesOrNull = nullable({ type: 'string', description: 'in base64, or as text with `encoding=text`' })
const consumed = object(
  {
    key: bytesOrNull,
    value: bytesOrNull,
    partition: integer,
    offset: integer,
    headers: listOf(object({ key: text, value: bytesOrNull }))
  },
  { timestamp: { type: 'integer', description: 'with `timestamp`: epoch milliseconds' } }
)

const consumeParameters: readonly Parameter[] = [
  topic,
  group,
  {
    name: 'noAck',
    in: 'query',
    description: 'Present: the message is offered again unless it is acknowledged in time'
  },
  { name: 'ackPartition', in: 'query', description: 'With `ackOffset`: acknowledges a message that came before' },
  { name: 'ackOffset', in: 'query', description: 'See `ackPartition`' },
  { name: 'count', in: 'query', description: 'The answer is a list of at most so many messages', schema: integer },
  { name: 'timestamp', in: 'query', description: 'Present: messages have the member `timestamp`' },
  { name: 'encoding', in: 'query', description: '`text`: bytes are written as text', schema: oneOf('base64', 'text') }
]

const consume: Omit<Operation, 'path' | 'id' | 'parameters'> = {
  method: 'get',
  summary: 'Consumes a message on behalf of a group',
  description:
    'The group is joined with the first request. Without `noAck` and `ackPartition` the message counts as processed when it is sent.',
  answers: {
    200: {
      description: 'The next message; with `count` a list',
      content: json({ anyOf: [consumed, listOf(consumed)] })
    },
    400: { description: 'A parameter is missing or wrong, or the cluster is unknown', ...failure },
    403: { description: 'The topic or the group is not allowed', ...failure },
    408: { description: 'There was no message in time', ...failure },
    429: { description: 'Too many requests wait', ...failure },
    500: { description: 'The group cannot be joined', ...failure },
    503: { description: 'Switched off, or shutting down', ...failure }
  }
}

const tail: Omit<Operation, 'path' | 'id'> = {
  method: 'get',
  summary: 'Follows a topic by server-sent events, without a group',
  description:
    'Each event has a message as `data`, and as `id` where to go on: send it as `Last-Event-ID`. Events `warning` name records that were skipped, an event `error` says why the stream ends. Comments are sent while there is nothing else.',
  parameters: [
    topic,
    { name: 'partition', in: 'query', description: 'Partitions, with commas between them; absent: all' },
    {
      name: 'from',
      in: 'query',
      description: 'Where to begin without `Last-Event-ID`; default: `latest`',
      schema: oneOf('earliest', 'latest')
    },
    { name: 'timestamp', in: 'query', description: 'Present: messages have the member `timestamp`' },
    { name: 'encoding', in: 'query', description: '`text`: bytes are written as text', schema: oneOf('base64', 'text') }
  ],
  answers: {
    200: { description: 'Messages as they come, without an end', content: { 'text/event-stream': text } },
    400: { description: 'A parameter or `Last-Event-ID` is wrong, or the cluster is unknown', ...failure },
    403: { description: 'The topic is not allowed', ...failure },
    404: { description: 'There is no such topic', ...failure },
    429: { description: 'Too many clients follow topics', ...failure },
    500: { description: 'Kafka cannot tell where to begin', ...failure },
    503: { description: 'Switched off, or shutting down', ...failure }
  }
}

const ack: Omit<Operation, 'path' | 'id' | 'parameters'> = {
  method: 'post',
  summary: 'Acknowledges a message',
  answers: {
    200: { description: 'It is acknowledged, now or before', content: json({ type: 'object' }) },
    400: { description: 'A parameter is missing or wrong, or the message has not been offered', ...failure },
    403: { description: 'The topic or the group is not allowed', ...failure },
    500: { description: 'This process does not read the partition on behalf of the group', ...failure },
    503: { description: 'Shutting down', ...failure }
  }
}

const ackParameters: readonly Parameter[] = [
  topic,
  group,
  { name: 'partition', in: 'query', description: 'Partition of the message', schema: integer, required: true },
  { name: 'offset', in: 'query', description: 'Offset of the message', schema: integer, required: true }
]

const refusals = {
  400: { description: 'A parameter or the body is wrong, or the cluster is unknown', ...failure },
  403: { description: 'The topic or the group is not allowed', ...failure },
  500: { description: 'Kafka cannot tell', ...failure },
  503: { description: 'Shutting down', ...failure }
}

const groupOffset = object(
  { partition: integer, begin: integer, end: integer, count: integer, offset: integer, lag: integer },
  {
    metadata: text,
    sparse_acks: { type: 'string', description: 'what is acknowledged above the offset: `1-4,6-8`' }
  }
)

const readOffsets: Omit<Operation, 'path' | 'id'> = {
  method: 'get',
  summary: 'Where a group stands in each partition',
  parameters: [topic, group],
  answers: {
    200: { description: 'By partition', content: json(listOf(groupOffset)) },
    404: { description: 'There is no such topic', ...failure },
    ...refusals
  }
}

const setOffset = object({ partition: integer, offset: integer }, { metadata: text })

const writeOffsets: Omit<Operation, 'path' | 'id'> = {
  method: 'post',
  summary: 'Sets offsets of a group that is not being consumed',
  parameters: [topic, group],
  body: { description: 'Offset by partition; -1 is the end, -2 the beginning', content: json(listOf(setOffset)) },
  answers: {
    200: { description: 'They are set', content: json({ type: 'object' }) },
    404: { description: 'There is no such topic or partition', ...failure },
    409: { description: 'The group is being consumed', ...failure },
    ...refusals
  }
}

const mapOf = (schema: JsonSchema): JsonSchema => ({ type: 'object', additionalProperties: schema })

const readConsumers: Omit<Operation, 'path' | 'id'> = {
  method: 'get',
  summary: 'Who reads which partitions of a topic',
  parameters: [topic, { ...group, required: false, description: 'Absent: all groups' }],
  answers: {
    200: { description: 'Partitions by client, by group', content: json(mapOf(mapOf(listOf(integer)))) },
    ...refusals
  }
}

const partition = object({
  partition: integer,
  leader: integer,
  replicas: listOf(integer),
  isr: listOf(integer)
})
const topicDescription = {
  type: 'object',
  properties: { config: object({ version: integer, config: mapOf(text) }), partitions: listOf(partition) }
}
const withPartitions: Parameter = { name: 'withPartitions', in: 'query', description: 'Present: with the partitions' }
const withConfig: Parameter = { name: 'withConfig', in: 'query', description: 'Present: with settings of the topics' }

const listTopics: Omit<Operation, 'path' | 'id'> = {
  method: 'get',
  summary: 'The topics of the cluster',
  parameters: [withPartitions, withConfig],
  answers: {
    200: {
      description: 'Their names; with a parameter, what is asked for by name',
      content: json({ anyOf: [listOf(text), mapOf(topicDescription)] })
    },
    ...refusals
  }
}

const describeTopic: Omit<Operation, 'path' | 'id'> = {
  method: 'get',
  summary: 'Settings and partitions of a topic',
  parameters: [topic, withPartitions],
  answers: { 200: { description: 'What is known of it', content: json(topicDescription) }, ...refusals }
}

/** An operation, and the same one of a named cluster. */
const onEachCluster = (operation: Operation): readonly Operation[] => [
  operation,
  {
    ...operation,
    path: `/clusters/{cluster}${operation.path}`,
    id: `${operation.id}OfCluster`,
    parameters: [{ name: 'cluster', in: 'path', description: 'The cluster' }, ...(operation.parameters ?? [])]
  }
]

/** What Kafka-Pixy's routes take and answer, for `/openapi.json`. */
export const kafkaPixyOperations: readonly Operation[] = [
  ...onEachCluster({
    ...produce,
    path: '/topics/{topic}/messages',
    id: 'produceMessage',
    parameters: produceParameters
  }),
  ...onEachCluster({
    ...consume,
    path: '/topics/{topic}/messages',
    id: 'consumeMessage',
    parameters: consumeParameters
  }),
  ...onEachCluster({ ...tail, path: '/topics/{topic}/tail', id: 'tailTopic' }),
  ...onEachCluster({ ...ack, path: '/topics/{topic}/acks', id: 'ackMessage', parameters: ackParameters }),
  ...onEachCluster({ ...readOffsets, path: '/topics/{topic}/offsets', id: 'readOffsets' }),
  ...onEachCluster({ ...writeOffsets, path: '/topics/{topic}/offsets', id: 'writeOffsets' }),
  ...onEachCluster({ ...readConsumers, path: '/topics/{topic}/consumers', id: 'readConsumers' }),
  ...onEachCluster({ ...listTopics, path: '/topics', id: 'listTopics' }),
  ...onEachCluster({ ...describeTopic, path: '/topics/{topic}', id: 'describeTopic' }),
  {
    method: 'get',
    path: '/_ping',
    id: 'ping',
    summary: 'Says that the process is alive',
    answers: { 200: { description: 'It is', content: { 'text/plain': text } } }
  }
]
