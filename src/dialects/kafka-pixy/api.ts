import { integer, json, type Operation, object, type Parameter, text } from '../../openapi/operation.js'

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
  {
    method: 'get',
    path: '/_ping',
    id: 'ping',
    summary: 'Says that the process is alive',
    answers: { 200: { description: 'It is', content: { 'text/plain': text } } }
  }
]
