import { z } from 'zod'
import type { HttpApi } from '../../http/api/api.js'
import { json, type Operation, type Parameters } from '../../http/openapi/operation.js'
import { type ArionSettings, arionSettings } from './settings.js'
import { topicName } from './target.js'

/** The API of Arion, the HTTP interface to Kafka's producer with a durable queue: `/sync`, `/async` and `/websocket`. */
export const arion: HttpApi<ArionSettings, 'arion'> = {
  name: 'arion',
  about: "an HTTP interface to Kafka's producer in Clojure, with a durable queue on disk",
  source: 'Arion 1.3.6 (CampusLabs/arion 096fd40)',
  prefix: '/arion',
  settings: arionSettings,
  tryIt: url => [`curl -i ${url}/sync/orders/k1 -d hello`],
  operations: () => arionOperations,
  plugin: async context => (await import('./plugin.js')).arionPlugin(context)
}

const time = z.string().meta({ format: 'date-time' })
const topic = topicName.describe('The topic')
const key = z.string().describe('The key, which finds the partition')
const error = z.object({ status: z.enum(['error']), error: z.string() })
const serverError = z.object({ status: z.enum(['error']), message: z.string() })
const either = json(z.union([error, serverError]))

const sent = z.object({
  status: z.enum(['sent']),
  key: z.string().nullable(),
  topic: z.string(),
  partition: z.int(),
  offset: z.int(),
  sent: time
})
const enqueued = z.object({
  status: z.enum(['enqueued']),
  topic: z.string(),
  key: z.string().nullable(),
  enqueued: time,
  id: z.string().meta({ format: 'uuid' })
})

const failures = {
  400: { description: 'The topic, the path or the mode is wrong, or the message is too large', content: json(error) },
  401: { description: 'No credentials, or wrong ones', content: json(error) },
  403: { description: 'The topic is not allowed', content: json(error) },
  429: { description: 'A quota is used up', content: json(error) },
  500: { description: 'Kafka refuses the message, or a bug', content: either },
  503: { description: 'Overloaded, or Kafka cannot be reached', content: either },
  504: { description: 'Not acknowledged within `syncTimeoutMs`', content: json(error) }
}

function produce(mode: 'sync' | 'async', params: Parameters): Operation {
  const hasKey = 'key' in params
  const answers =
    mode === 'sync'
      ? { 201: { description: 'The message is in Kafka', content: json(sent) } }
      : { 202: { description: 'The message is accepted', content: json(enqueued) } }
  return {
    method: 'post',
    path: hasKey ? `/${mode}/{topic}/{key}` : `/${mode}/{topic}`,
    id: hasKey ? `${mode}WithKey` : mode,
    verb: 'produce',
    summary: mode === 'sync' ? 'Produces a message and waits until Kafka has it' : 'Accepts a message for Kafka',
    params,
    body: { description: 'The message, byte for byte; may be empty', content: { '*/*': z.unknown() }, required: false },
    produces: true,
    answers: { ...answers, ...failures }
  }
}

function websocket(params: Parameters): Operation {
  const hasKey = 'key' in params
  return {
    method: 'get',
    path: hasKey ? '/websocket/{topic}/{key}' : '/websocket/{topic}',
    id: hasKey ? 'websocketWithKey' : 'websocket',
    verb: 'produce',
    summary: 'Opens a websocket: each frame is a message, and each message has a reply in their order',
    params,
    answers: {
      101: { description: 'The connection is a websocket' },
      400: { description: 'No websocket was asked for', content: { 'text/plain': z.string() } },
      426: { description: 'Another version of the websocket protocol than 13' }
    }
  }
}

export const arionOperations: readonly Operation[] = [
  produce('sync', { topic }),
  produce('sync', { topic, key }),
  produce('async', { topic }),
  produce('async', { topic, key }),
  websocket({ topic }),
  websocket({ topic, key }),
  {
    method: 'get',
    path: '/stats',
    id: 'stats',
    verb: 'none',
    summary: 'Counts of the queue and of the producer',
    answers: {
      200: {
        description: 'The counts',
        content: json(z.object({ queue: z.object({}), kafka: z.object({}) }))
      }
    }
  },
  {
    method: 'get',
    path: '/health-check',
    id: 'healthCheck',
    verb: 'none',
    summary: 'Answers while the process serves requests',
    answers: { 200: { description: 'It does', content: json(z.object({ status: z.enum(['ok']) })) } }
  }
]
