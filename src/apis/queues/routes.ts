import { z } from 'zod'
import { type AnsweredRoute, operationsOf } from '../../http/api/routes.js'
import { PROBLEM_TYPE } from '../../http/exchange/modern-answers.js'
import { type Body, BYTES, json, type Operation } from '../../http/openapi/operation.js'
import { type AcquireEndpoint, BYTES_TYPE } from './acquire-endpoint.js'
import { configure, describe, forget, listGroups, reset } from './group-endpoint.js'
import type { QueueParts } from './queue-answers.js'
import { acquireBody, configureBody, resetBody, settleBody } from './requests.js'
import { acceptOne, settleMany } from './settle-endpoint.js'

/** The parts that answer the routes. */
interface QueuesOfRoutes {
  readonly parts: QueueParts
  readonly acquire: AcquireEndpoint
}

const text = z.string()
const params = { topic: text.describe('The topic'), group: text.describe('The share group') }

const result = z.object({
  token: text,
  outcome: z.enum(['done', 'lost', 'unknown', 'elsewhere', 'invalid', 'failed']),
  lockMs: z.int().optional().describe('after `renew`: what is left of the lock'),
  reason: text
    .optional()
    .describe('`archived`: the message was released at its last delivery and is not offered again'),
  code: z.int().optional().describe("Kafka's error code")
})

const content = z
  .unknown()
  .describe('base64, or a text with `encoding: text`; null; with `encoding: schema` the JSON that was decoded')

const message = z.object({
  token: text.describe('settles this delivery of the message'),
  partition: z.int(),
  offset: z.int(),
  timestamp: z.int().nullable().describe('epoch milliseconds, as in Kafka; null: a number does not have it exactly'),
  key: content,
  value: content,
  headers: z.array(z.object({ key: text, value: text.nullable() })),
  deliveryCount: z.int().describe('how often it was offered, this time included; a lower bound'),
  lastDelivery: z.boolean().optional().describe('true: a release would end the message'),
  lockMs: z.int().describe('milliseconds for which the token can settle it'),
  undecodable: text.optional().describe('which parts are in base64 against the wish of the client, and why')
})

const start = text.describe('`earliest`, `latest` or a duration')
const settings = {
  start,
  lockMs: z.int(),
  deliveryLimit: z.int().nullable().describe('null: Kafka does not tell'),
  deadLetters: text.nullable(),
  isolation: z.enum(['readUncommitted', 'readCommitted'])
}

const problem = z.looseObject({
  type: text,
  title: text,
  status: z.int(),
  detail: text.optional(),
  code: text,
  retriable: z.boolean(),
  errorCode: z.int().optional().describe("Kafka's error code"),
  settled: z.array(result).optional().describe('what `settle` has done before')
})
const failure = (description: string) => ({ description, content: { [PROBLEM_TYPE]: problem } })

const refusals: Operation['answers'] = {
  400: failure('The request has a defect; nothing is done'),
  401: failure('No credentials, or wrong ones'),
  403: failure('The client may not do this, or Kafka does not allow it to the gateway'),
  404: failure('There is no such topic'),
  408: failure('The request comes too slowly'),
  409: failure('The name of the group belongs to a group of another kind'),
  413: failure('The body is too large'),
  429: failure('A quota is used up, or the client holds or waits for too much'),
  500: failure('The request failed unexpectedly'),
  501: failure('This Kafka has no share groups, or no dead letters'),
  502: failure('Kafka answered with an error'),
  503: failure('Overloaded, or shutting down, or Kafka cannot be reached'),
  504: failure('There was no answer in time')
}

const body = (description: string, schema: z.ZodType): Body => ({
  description,
  content: json(schema),
  required: false
})

/** Headers of an answer with the bytes of one message. */
const headersOfBytes = {
  location: 'The path of the message for `DELETE`. This and the following headers: only with the bytes of one message.',
  'x-castellan-token': 'Settles this delivery of the message.',
  'x-castellan-delivery-count': 'How often it was offered, this time included; a lower bound.',
  'x-castellan-lock-ms': 'Milliseconds for which the token can settle it.',
  'x-castellan-partition': 'Its partition.',
  'x-castellan-offset': 'Its offset.',
  'x-castellan-key': 'Its key in base64; only where it has one of at most 6 KiB.',
  'x-castellan-last-delivery': '`true`: a release would end the message. Absent: Kafka does not tell.',
  'x-castellan-null': '`value`: the message has no value.',
  'x-castellan-warning': 'The key is longer, and left out.'
}

const offsetOrNull = z.int().nullable()

const routes: Readonly<Record<string, AnsweredRoute<QueuesOfRoutes>>> = {
  list: {
    verb: 'shareGroups.list',
    method: 'get',
    path: '/',
    query: { after: text.optional().describe('only groups whose names come later: `next` of the page before') },
    summary: 'The share groups of the cluster, 100 at a time, by name',
    description:
      'Kafka hides groups that the gateway may not describe, and does not say so. Groups whose offsets the client may not read are left out.',
    answers: {
      200: {
        description: 'A page of groups',
        content: json(
          z.object({
            groups: z.array(
              z.object({
                group: text,
                state: text,
                members: z.int().describe('how many'),
                topics: z.array(text).describe('at most 100 of those that the client may see'),
                topicCount: z.int().describe('of all that it may see')
              })
            ),
            next: text.nullable().describe('`after` for the next page; null: there is none')
          })
        )
      }
    },
    receive: ({ parts }, exchange, params) => listGroups(parts, exchange, params)
  },
  reset: {
    verb: 'shareGroups.reset',
    method: 'post',
    path: '/{topic}/{group}/reset',
    params,
    summary: 'Moves the group to other offsets of the topic',
    description:
      'Only while the group has no members, except with `dryRun`: gateways leave 30 s after their last acquire. Locks and delivery counts are gone.',
    body: { ...body('Where the group begins', resetBody), required: true },
    answers: {
      200: {
        description: 'What was moved, or with `dryRun` would be',
        content: json(
          z.object({
            partitions: z.array(
              z.object({ partition: z.int(), from: offsetOrNull.describe('null: there was no state'), to: z.int() })
            )
          })
        )
      },
      404: failure('There is no such topic, or no such share group'),
      409: failure('The group has members')
    },
    receive: ({ parts }, exchange, params) => reset(parts, exchange, params)
  },
  forget: {
    verb: 'shareGroups.forget',
    method: 'delete',
    path: '/{topic}/{group}',
    params,
    summary: 'Deletes what the group knows of the topic',
    description: 'Only while the group has no members. Its other topics stay.',
    answers: {
      204: { description: 'It is deleted' },
      404: failure('There is no such share group, or it has no state of the topic'),
      409: failure('The group has members')
    },
    receive: ({ parts }, exchange, params) => forget(parts, exchange, params)
  },
  acquire: {
    verb: 'queues.acquire',
    method: 'post',
    path: '/{topic}/{group}/acquire',
    params,
    summary: 'Acquires messages for this client',
    description:
      'With `Accept: application/octet-stream` the answer is the value of one message, and the header `Location` names it for `DELETE`; 204 when there is none.',
    body: body('What is wanted; all members have defaults', acquireBody),
    answers: {
      200: {
        description: 'The messages; none when none came in time',
        content: {
          ...json(z.object({ messages: z.array(message), settled: z.array(result).optional() })),
          [BYTES_TYPE]: BYTES
        },
        headers: headersOfBytes
      },
      204: { description: 'No message came in time; only with `Accept: application/octet-stream`' }
    },
    receive: ({ acquire }, exchange, params) => acquire.acquire(exchange, params)
  },
  settle: {
    verb: 'queues.settle',
    method: 'post',
    path: '/{topic}/{group}/settle',
    params,
    summary: 'Accepts, releases, rejects and renews messages',
    body: body('Tokens, at most 1000, none of them twice', settleBody),
    answers: {
      200: { description: 'All are done', content: json(z.object({ results: z.array(result) })) },
      207: { description: 'Not all are done', content: json(z.object({ results: z.array(result) })) }
    },
    receive: ({ parts }, exchange, params) => settleMany(parts, exchange, params)
  },
  accept: {
    verb: 'queues.settle',
    method: 'delete',
    path: '/{topic}/{group}/messages/{token}',
    params: { ...params, token: text.describe('The token of the message') },
    summary: 'Accepts one message',
    description: 'A repeat within 60 s gets the same answer.',
    answers: {
      204: { description: 'The message is done' },
      404: failure('This is no token of the topic and the group'),
      410: failure('The token counts no longer: the lock of the message is over, or the message is settled')
    },
    receive: ({ parts }, exchange, params) => acceptOne(parts, exchange, params)
  },
  configure: {
    verb: 'queues.configure',
    method: 'patch',
    path: '/{topic}/{group}',
    params,
    summary: 'Changes settings of the group, which count for all its topics',
    body: body("The settings to change; null: Kafka's default", configureBody),
    answers: {
      200: { description: 'The settings now', content: json(z.object({ group: text, appliesTo: text, ...settings })) },
      409: failure('Kafka would copy no dead letters to this topic, or the group is of another kind')
    },
    receive: ({ parts }, exchange, params) => configure(parts, exchange, params)
  },
  describe: {
    verb: 'queues.describe',
    method: 'get',
    path: '/{topic}/{group}',
    params,
    summary: 'State, members, positions and settings of the group',
    answers: {
      200: {
        description: 'What Kafka says of the group',
        content: json(
          z.object({
            topic: text,
            group: text,
            state: text.describe('`absent`: there is no such group'),
            members: z.array(
              z.object({ memberId: text, clientId: text, clientHost: text, partitions: z.array(z.int()) })
            ),
            partitions: z.array(
              z.object({
                partition: z.int(),
                startOffset: z.int().nullable(),
                lag: z.int().nullable(),
                error: text
                  .optional()
                  .describe(
                    'Name of the error with which Kafka has refused the partition for 30 s and longer, or for good'
                  )
              })
            ),
            settings: z.object(settings).nullable()
          })
        )
      }
    },
    receive: ({ parts }, exchange, params) => describe(parts, exchange, params)
  }
}

/** Each route is served for the default cluster, and below the path of a cluster. */
const routesOfClusters = Object.entries(routes).flatMap(([id, route]) => [
  [id, route] as const,
  [
    `${id}OfCluster`,
    {
      ...route,
      path: `/clusters/{cluster}${route.path}`,
      params: { cluster: text.describe('The cluster'), ...route.params }
    }
  ] as const
])

/** The routes with their ids, and as operations for `/openapi.json`. */
export const queuesOperations = operationsOf(Object.fromEntries(routesOfClusters), () => refusals)
