import { z } from 'zod'
import type { AccessTarget } from '../../http/access/access.js'
import { ApiError } from '../../http/api/api-answers.js'
import { admits, IGNORED_BYTES, withBytes } from '../../http/api/endpoint.js'
import { type AnsweredRoute, operationsOf } from '../../http/api/routes.js'
import { browserRefusalOf } from '../../http/exchange/client.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { PROBLEM_TYPE } from '../../http/exchange/modern-answers.js'
import type { Content, Operation } from '../../http/openapi/operation.js'
import { BATCH_TYPE, EVENT_TYPE, MAX_EVENTS } from './content-types.js'
import type { EventParts } from './event-answers.js'
import type { FollowEndpoint } from './follow-endpoint.js'
import type { GroupEndpoint } from './group-endpoint.js'
import { Query } from './read-request.js'

/** The parts that answer the routes. */
interface Events {
  readonly parts: EventParts
  readonly groups: GroupEndpoint
  readonly followers: FollowEndpoint
}

const text = z.string()

/** An event in the JSON format; further members are extension attributes. */
export const event = z.looseObject({
  specversion: z.enum(['1.0']),
  id: text.min(1),
  source: text.min(1).describe('a URI reference'),
  type: text.min(1),
  datacontenttype: text.nullish().describe('a media type'),
  dataschema: text.nullish().describe('an absolute URI; any other text is kept as it is'),
  subject: text.nullish(),
  time: text.nullish().describe('a time as in RFC 3339'),
  partitionkey: text.nullish().describe('the key of the record, if the request names none'),
  data: z.unknown().optional(),
  data_base64: text.nullish().describe('data that is neither JSON nor text')
})

const problem = z.looseObject({
  type: text,
  title: text,
  status: z.int(),
  detail: text.optional(),
  code: text,
  persisted: text.optional(),
  retriable: z.boolean(),
  errors: z
    .array(
      z.object({
        event: z.int().optional().describe('the place of the event in its batch, from 0'),
        message: text,
        code: text.optional(),
        persisted: text.optional(),
        retriable: z.boolean().optional()
      })
    )
    .optional()
    .describe('a line for each defect or failure, at most 20')
})
const failure = (description: string) => ({ description, content: { [PROBLEM_TYPE]: problem } })

const refusals: Operation['answers'] = {
  400: failure('The request or an event has a defect; no event is taken'),
  401: failure('No credentials, or wrong ones'),
  403: failure('The client may not do this'),
  404: failure('There is no such topic, or no such partition'),
  408: failure('The request comes too slowly'),
  429: failure('A quota is used up'),
  500: failure('The request failed unexpectedly'),
  502: failure('Kafka answered with an error'),
  503: failure('Overloaded, or shutting down, or Kafka cannot be reached'),
  504: failure('There was no answer in time')
}

const topic = text.describe('The topic')
const jsonEvents: Content = { [EVENT_TYPE]: event, [BATCH_TYPE]: z.array(event) }

/** Refuses a request to read of a browser that no page may send, or whose client may not read. @returns whether it may */
function mayRead(
  parts: EventParts,
  exchange: Exchange,
  verb: 'groups.consume' | 'follow',
  target: AccessTarget
): boolean {
  const refusal = browserRefusalOf(exchange.request)
  if (refusal !== undefined) parts.answers.fail(exchange, refusal)
  return refusal === undefined && admits(parts, exchange, verb, target)
}

/** An expression of names of DNS, with a port or without. */
const SENDER = /^[\w.*:-]{1,253}$/
const RATE = /^[1-9]\d{0,8}$/

/** Source: HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4. It is the same for all topics, also for those that there are not. */
function answerHandshake({ answers }: EventParts, exchange: Exchange): void {
  const { 'webhook-request-origin': origin, 'webhook-request-rate': rate = '' } = exchange.request.headers
  if (typeof origin !== 'string') {
    const refusal = new ApiError(405, 'OPTIONS needs the header WebHook-Request-Origin here')
    answers.fail(exchange, refusal, !hasBody(exchange), { allow: 'GET, POST, OPTIONS' })
  } else if (!SENDER.test(origin)) throw new ApiError(400, 'WebHook-Request-Origin is not a name of DNS')
  else {
    const allowed = RATE.test(String(rate)) ? String(rate) : '*'
    const headers = { allow: 'POST', 'webhook-allowed-origin': origin, 'webhook-allowed-rate': allowed }
    answers.send(exchange, 200, undefined, '', { headers, isRead: !hasBody(exchange) })
  }
}

const routes: Readonly<Record<string, AnsweredRoute<Events>>> = {
  produce: {
    verb: 'produce',
    method: 'post',
    path: '/{topic}',
    params: { topic },
    query: {
      key: text.optional().describe('the key of the records. Absent: the attribute `partitionkey` of each event'),
      async: z
        .enum(['true', 'false'])
        .optional()
        .describe('true: answered 202 when the events are accepted, on disk with `durability: disk`')
    },
    summary: 'Produces an event, or a batch of events',
    description:
      'Every content type that is not listed is that of the data of one event, whose attributes are headers (`ce-id`, …): binary mode.',
    body: { description: 'The event or the batch', content: { ...jsonEvents, '*/*': z.unknown() }, required: false },
    produces: true,
    answers: {
      202: { description: 'The events are accepted' },
      204: { description: 'The events are in Kafka' },
      413: failure('The body, or an event, is too large'),
      415: failure('The event format is not known'),
      422: failure('Kafka refuses an event')
    }
  },
  handshake: {
    verb: 'none',
    method: 'options',
    path: '/{topic}',
    params: { topic },
    isOpen: true,
    summary: 'Agrees that a sender of webhooks may send events here',
    description:
      'The headers `WebHook-Request-Origin` and `WebHook-Request-Rate` are answered by `WebHook-Allowed-Origin` and `WebHook-Allowed-Rate`. Needs no credentials and gives no permission; `WebHook-Request-Callback` is not called.',
    answers: {
      200: { description: 'The sender may send' },
      405: failure('The request names no origin')
    },
    receive: ({ parts }, exchange) => answerHandshake(parts, exchange)
  },
  consume: {
    verb: 'groups.consume',
    method: 'get',
    path: '/{topic}',
    params: { topic },
    query: {
      group: text.optional().describe('the consumer group. One of `group` and `from` is needed'),
      from: text
        .optional()
        .describe('without a group: `earliest`, `latest`, or the value of `x-castellan-next` of an earlier answer'),
      partition: text.optional().describe('with `from`: these partitions only, with commas between them'),
      ack: z
        .enum(['auto', 'manual'])
        .optional()
        .describe('with `group`: `auto` (default) acknowledges events whose answer was sent to its end'),
      count: z
        .int()
        .min(1)
        .optional()
        .describe(`asks for a batch of at most so many events, and at most ${MAX_EVENTS}`),
      timeout: z
        .int()
        .min(0)
        .optional()
        .describe('how long to wait for the first event, in milliseconds, at most 60000')
    },
    summary: 'Reads one event, or a batch of events',
    description: '`Accept` chooses structured mode or a batch; without them the event is in binary mode.',
    answers: {
      200: { description: 'The event or the batch', content: { ...jsonEvents, '*/*': z.unknown() } },
      204: { description: 'No event came in time; of a batch 200 with an empty list' },
      406: failure('count asks for a batch, and Accept for a single event'),
      409: failure('The group is of another kind, such as a share group')
    },
    receive({ parts, groups, followers }, exchange, { topic = '' }) {
      const query = new Query(exchange.request)
      const group = query.text('group')
      const from = query.text('from')
      if (!mayRead(parts, exchange, group === undefined ? 'follow' : 'groups.consume', { topic, group })) return
      if (group !== undefined && from !== undefined) throw new ApiError(400, 'group and from exclude each other')
      if (group === '') throw new ApiError(400, 'the parameter group is empty')
      if (group !== undefined) groups.poll(exchange, topic, group, query)
      else if (from !== undefined) followers.poll(exchange, topic, from, query)
      else throw new ApiError(400, 'one of the parameters group and from is needed')
    }
  },
  acknowledge: {
    verb: 'groups.ack',
    method: 'post',
    path: '/{topic}/acks',
    params: { topic },
    query: {
      group: text.describe('the consumer group'),
      offsets: text.describe('the value of `x-castellan-offsets` of the answer with the events: `0:17-19,1:4`')
    },
    summary: 'Acknowledges events that were read with `ack=manual`',
    answers: {
      204: { description: 'The events are acknowledged' },
      409: failure('Not all of the events wait for an acknowledgement here')
    },
    /** The body means nothing: clients send an empty one in pieces. */
    receive({ parts, groups }, exchange, params) {
      const tooLarge = new ApiError(413, 'a request of this kind has no body')
      withBytes(parts, exchange, IGNORED_BYTES, tooLarge, () => groups.ack(exchange, params))
    }
  },
  tail: {
    verb: 'follow',
    method: 'get',
    path: '/{topic}/tail',
    params: { topic },
    query: {
      from: text
        .optional()
        .describe('`latest` (default), `earliest`, or the id of an event; `Last-Event-ID` counts more'),
      partition: text.optional().describe('these partitions only, with commas between them')
    },
    summary: 'Follows a topic by server-sent events',
    description:
      'The data of each server-sent event is an event in structured mode. `skipped` tells how many records were no events, `warning` and `error` tell of trouble.',
    answers: { 200: { description: 'A stream without an end', content: { 'text/event-stream': text } } },
    receive({ parts, followers }, exchange, params) {
      if (mayRead(parts, exchange, 'follow', { topic: params.topic })) followers.tail(exchange, params)
    }
  }
}

/** The routes with their ids, and as operations for `/openapi.json`. */
export const cloudeventsOperations = operationsOf(routes, () => refusals)
