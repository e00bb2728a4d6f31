import {
  integer,
  json,
  nullable,
  type Operation,
  object,
  oneOf,
  type Parameter,
  text
} from '../../http/openapi/operation.js'

const time = { type: 'string', format: 'date-time' }
const topic: Parameter = { name: 'topic', in: 'path', description: 'The topic' }
const key: Parameter = { name: 'key', in: 'path', description: 'The key, which finds the partition' }
const error = json(object({ status: oneOf('error'), error: text }))
const serverError = json(object({ status: oneOf('error'), message: text }))
const either = { 'application/json': { anyOf: [error['application/json']!, serverError['application/json']!] } }

const sent = object({
  status: oneOf('sent'),
  key: nullable(text),
  topic: text,
  partition: integer,
  offset: integer,
  sent: time
})
const enqueued = object({
  status: oneOf('enqueued'),
  topic: text,
  key: nullable(text),
  enqueued: time,
  id: { type: 'string', format: 'uuid' }
})

const failures = {
  400: { description: 'The topic, the path or the mode is wrong, or the message is too large', content: error },
  401: { description: 'No credentials, or wrong ones', content: error },
  403: { description: 'The topic is not allowed', content: error },
  429: { description: 'A quota is used up', content: error },
  500: { description: 'Kafka refuses the message, or a bug', content: either },
  503: { description: 'No room for the message, or Kafka cannot be reached', content: either },
  504: { description: 'Not acknowledged within `syncTimeoutMs`', content: error }
}

function produce(mode: 'sync' | 'async', parameters: readonly Parameter[]): Operation {
  const hasKey = parameters.length > 1
  const answers =
    mode === 'sync'
      ? { 201: { description: 'The message is in Kafka', content: json(sent) } }
      : { 202: { description: 'The message is accepted', content: json(enqueued) } }
  return {
    method: 'post',
    path: hasKey ? `/${mode}/{topic}/{key}` : `/${mode}/{topic}`,
    id: hasKey ? `${mode}WithKey` : mode,
    summary: mode === 'sync' ? 'Produces a message and waits until Kafka has it' : 'Accepts a message for Kafka',
    parameters,
    body: { description: 'The message, byte for byte; may be empty', content: { '*/*': {} }, required: false },
    produces: true,
    answers: { ...answers, ...failures }
  }
}

function websocket(parameters: readonly Parameter[]): Operation {
  const hasKey = parameters.length > 1
  return {
    method: 'get',
    path: hasKey ? '/websocket/{topic}/{key}' : '/websocket/{topic}',
    id: hasKey ? 'websocketWithKey' : 'websocket',
    summary: 'Opens a websocket: each frame is a message, and each message has a reply in their order',
    parameters,
    answers: {
      101: { description: 'The connection is a websocket' },
      400: { description: 'No websocket was asked for', content: { 'text/plain': text } },
      426: { description: 'Another version of the websocket protocol than 13' }
    }
  }
}

/** What Arion's paths take and answer, for `/openapi.json`. */
export const arionOperations: readonly Operation[] = [
  produce('sync', [topic]),
  produce('sync', [topic, key]),
  produce('async', [topic]),
  produce('async', [topic, key]),
  websocket([topic]),
  websocket([topic, key]),
  {
    method: 'get',
    path: '/stats',
    id: 'stats',
    summary: 'Counts of the queue and of the producer',
    answers: {
      200: {
        description: 'The counts',
        content: json(object({ queue: { type: 'object' }, kafka: { type: 'object' } }))
      }
    }
  },
  {
    method: 'get',
    path: '/health-check',
    id: 'healthCheck',
    summary: 'Answers while the process serves requests',
    answers: { 200: { description: 'It does', content: json(object({ status: oneOf('ok') })) } }
  }
]
