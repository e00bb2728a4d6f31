import { z } from 'zod'
import { ApiError } from '../../../http/api/api-answers.js'
import { type AnsweredRoute, describedPath } from '../../../http/api/routes.js'
import { type Exchange, sentUrlOf } from '../../../http/exchange/exchange.js'
import type { Body, Content, Operation, Parameters } from '../../../http/openapi/operation.js'
import type { VerbPath } from '../../../verbs/facts.js'
import type { InstancePosition } from '../../../verbs/verbs.js'
import { type InstanceAsk, queryOf, topicNamesOf } from '../../instance-routes.js'
import { error } from '../look-up.js'
import { BINARY_TYPE, EMBEDDED_JSON_TYPE, SCHEMA_TYPES, V2_TYPE } from '../media-types.js'
import { checked } from '../record-bytes.js'
import {
  commitBody,
  createBody,
  partitionsBody,
  positionsBody,
  subscriptionBody,
  timestampIn
} from './consumer-bodies.js'
import type { Consumers } from './consumers.js'

const NO_PARTITIONS = new ApiError(
  404,
  'name the partitions in a body, {"partitions":[{"topic":…,"partition":…}]}, or in the query',
  { code: 40402 }
)

type ConsumerRoute = AnsweredRoute<Consumers>

/** Answers are of the type that the client asks for, an embedded one too. */
const v2 = (schema: z.ZodType): Content => ({
  [V2_TYPE]: schema,
  [BINARY_TYPE]: schema,
  [EMBEDDED_JSON_TYPE]: schema,
  ...Object.fromEntries(Object.values(SCHEMA_TYPES).map(type => [type, schema]))
})
const failure = { content: v2(error) }
const text = z.string()
const PARAMS = { group: text.describe('The consumer group'), instance: text.describe('The name of the instance') }

interface DescribedVerb {
  readonly description?: string
  readonly query?: Parameters
  /** Absent: the answer is 204. */
  readonly answer?: z.ZodType
  /** Why it may be answered 409. */
  readonly conflict?: string
  readonly answers?: Operation['answers']
}

/** OpenAPI's description of a route. @param said of its answer */
function describedRoute(
  verb: VerbPath,
  method: Operation['method'],
  path: string,
  [summary, said]: readonly [summary: string, said: string],
  { answer, conflict, answers, ...described }: DescribedVerb,
  body?: Body
) {
  return {
    verb,
    method,
    ...describedPath(path, PARAMS),
    summary,
    ...described,
    ...(body && { body }),
    answers: {
      [answer === undefined ? 204 : 200]: { description: said, ...(answer && { content: v2(answer) }) },
      400: { description: 'The body is not JSON, or a member is of the wrong kind', ...failure },
      403: { description: 'The client, or Castellan itself, may not read the group or a topic', ...failure },
      404: { description: 'There is no such instance (40403), topic or partition', ...failure },
      415: { description: 'The content type is another one', content: { ...v2(error), 'application/json': error } },
      422: { description: 'The body, or a member of it, is missing or unknown, or a setting is not valid', ...failure },
      429: { description: 'A quota is used up', ...failure },
      500: { description: 'Kafka, or the schema registry, cannot be asked', ...failure },
      ...(conflict !== undefined && { 409: { description: conflict, ...failure } }),
      ...answers
    }
  }
}

interface VerbV2<Sent> extends DescribedVerb {
  /** `mayBeAbsent`: the work gets `undefined` then. Absent: there is none. */
  readonly body?: readonly [description: string, schema: z.ZodType<Sent>, presence?: 'mayBeAbsent']
  /** The work asks for the rights to the topics that the request names. Absent: the client needs those to all that are read. */
  readonly rights?: 'ofRequest'
}

/** A route of one instance. @param work its result is the answer; `undefined`: 204 */
function verb<Sent = undefined>(
  verb: VerbPath,
  method: Operation['method'],
  path: string,
  said: readonly [summary: string, said: string],
  { body, rights, ...described }: VerbV2<Sent>,
  work: (ask: InstanceAsk, sent: Sent) => Promise<unknown>
): ConsumerRoute {
  const [description, schema, presence] = body ?? []
  const needs = body === undefined ? 'noBody' : presence === undefined ? 'needsBody' : 'mayHaveBody'
  const content = schema && v2(schema)
  // The body of a GET is not described: generated clients cannot send one.
  const sent = content && method !== 'get' ? { description: description!, content, required: !presence } : undefined
  return {
    ...describedRoute(verb, method, INSTANCE + path, said, described, sent),
    receive({ routes }, exchange, params) {
      const carryOut = async (ask: InstanceAsk, json: unknown): Promise<unknown> => {
        const isAbsent = schema === undefined || (presence !== undefined && json === undefined)
        return work(ask, isAbsent ? (undefined as Sent) : checked(json, schema))
      }
      routes.verb(verb, needs, carryOut, rights)(exchange, params)
    }
  }
}

const INSTANCE = '/consumers/{group}/instances/{instance}'
const NOT_ASSIGNED = 'A partition is not assigned (40903)'
const bytes = z.unknown().describe('in base64, or the JSON value')
const partition = z.strictObject({ topic: text, partition: z.int().min(0) })
const offset = z.strictObject({ ...partition.shape, offset: z.int().min(0), metadata: text.nullish() })
const record = z.object({
  topic: text,
  key: bytes,
  value: bytes,
  partition: z.int(),
  offset: z.int(),
  error_code: z.int().optional(),
  error: text.optional()
})

const placeOf = ({ topic, partition }: { readonly topic: string; readonly partition: number | string }) => ({
  topic,
  partition: Number(partition)
})

function seek(ask: InstanceAsk, positions: readonly InstancePosition[]): Promise<void> {
  ask.require(topicNamesOf(positions))
  return ask.does('seek', positions)
}

const seekTo = (position: 'beginning' | 'end'): ConsumerRoute =>
  verb(
    'instances.seek',
    'post',
    `/positions/${position}`,
    [`Reads partitions from their ${position} on`, 'The positions are set'],
    { body: ['The partitions', partitionsBody], conflict: NOT_ASSIGNED, rights: 'ofRequest' },
    (ask, { partitions }) =>
      seek(
        ask,
        partitions.map(one => ({ ...placeOf(one), position }))
      )
  )

export const consumerRoutes = {
  createInstance: {
    ...describedRoute(
      'instances.create',
      'post',
      '/consumers/{group}',
      ['Creates a consumer instance', 'The instance'],
      {
        answer: z.object({ instance_id: text, base_uri: text }),
        conflict: 'The group has an instance of this name (40902)'
      },
      {
        description: 'The settings of the instance; absent: the defaults',
        // Kafka's other settings are not described: generated clients would send their own spellings of the known ones, too.
        content: v2(z.object(createBody.shape)),
        required: false
      }
    ),
    receive: ({ create }, exchange, params) => create(exchange, params)
  },
  deleteInstance: verb(
    'instances.remove',
    'delete',
    '',
    ['Removes an instance; it leaves its group', 'It is removed'],
    {},
    ask => ask.does('remove')
  ),
  subscribe: verb(
    'instances.subscribe',
    'post',
    '/subscription',
    ['Subscribes to topics, in place of an earlier subscription', 'It is subscribed'],
    {
      body: ['The topics, or a pattern; topics win', subscriptionBody],
      conflict: 'Partitions were assigned to it (40903)'
    },
    async (ask, { topics, topic_pattern: pattern }) => {
      if (topics) await ask.subscribe({ topics })
      else if (pattern) await ask.subscribe({ pattern })
    }
  ),
  getSubscription: verb(
    'instances.subscription',
    'get',
    '/subscription',
    ['The topics of the subscription', 'The topics'],
    { answer: z.object({ topics: z.array(text) }) },
    async ask => ({ topics: await ask.does('subscription') })
  ),
  unsubscribe: verb(
    'instances.unsubscribe',
    'delete',
    '/subscription',
    ['Ends the subscription, or the assignment', 'It has ended'],
    {},
    ask => ask.does('unsubscribe')
  ),
  assignPartitions: verb(
    'instances.assign',
    'post',
    '/assignments',
    ['Assigns partitions, in place of earlier ones', 'They are assigned'],
    { body: ['The partitions', partitionsBody], conflict: 'The instance is subscribed (40903)' },
    (ask, { partitions }) => ask.assign(partitions.map(placeOf))
  ),
  getAssignments: verb(
    'instances.assignment',
    'get',
    '/assignments',
    ['The partitions that the instance reads', 'The partitions'],
    { answer: z.object({ partitions: z.array(partition) }) },
    async ask => ({ partitions: await ask.does('assignment') })
  ),
  seekPositions: verb(
    'instances.seek',
    'post',
    '/positions',
    ['Reads partitions from given offsets or times on', 'The positions are set'],
    { body: ['The offsets or times', positionsBody], conflict: NOT_ASSIGNED, rights: 'ofRequest' },
    (ask, { offsets, timestamps }) =>
      seek(ask, [
        ...(offsets ?? []).map(one => ({ ...placeOf(one), position: Number(one.offset) })),
        ...(timestamps ?? []).map(one => ({
          ...placeOf(one),
          position: { timestampMs: timestampIn(one.timestamp) }
        }))
      ])
  ),
  seekBeginning: seekTo('beginning'),
  seekEnd: seekTo('end'),
  readRecords: {
    ...describedRoute(
      'instances.read',
      'get',
      `${INSTANCE}/records`,
      ['Reads records', 'The records; none within the time: an empty list'],
      {
        description:
          'Records whose answer does not reach the client are read again. A record that cannot be decoded fails the read with code 40801; with the header `x-castellan-undecodable: skip` it is left out, with `include` it has `error_code` and `error`.',
        query: {
          timeout: z
            .int()
            .min(0)
            .optional()
            .describe('milliseconds; the shorter one of this and that of the instance counts'),
          max_bytes: z
            .int()
            .optional()
            .describe('the smaller one of this and that of the API counts; one record always comes')
        },
        answer: z.array(record),
        conflict:
          'The instance has neither a subscription nor an assignment (40903), or the group is of another kind, such as a share group (409)',
        answers: {
          406: {
            description: 'The instance has the other format (40601), or the client takes no type that there is',
            content: { ...v2(error), 'application/json': error }
          },
          408: { description: 'A key or value is not JSON (40801); a position after it skips it', ...failure }
        }
      }
    ),
    receive: ({ read }, exchange, params) => read(exchange, params)
  },
  commitOffsets: verb(
    'instances.commit',
    'post',
    '/offsets',
    ['Commits offsets; stores the next one', 'They are stored'],
    {
      description: 'Without a body: after the records that the client has got. Answered when Kafka has them.',
      body: ['The offsets of the last processed records', commitBody, 'mayBeAbsent'],
      answer: z.array(z.never())
    },
    async (ask, sent: z.output<typeof commitBody> | undefined) => {
      const offsets = sent?.offsets
      ask.require(topicNamesOf(offsets ?? []))
      ask.require(topicNamesOf(offsets ?? []), 'offsets')
      // Clients name the last record that they have processed; Kafka stores the next one.
      const next = offsets?.map(one => ({
        ...placeOf(one),
        offset: Number(one.offset) + 1,
        metadata: one.metadata ?? ''
      }))
      await ask.does('commit', next ?? 'accepted')
      return []
    }
  ),
  getCommitted: verb(
    'instances.committed',
    'get',
    '/offsets',
    ['The committed offsets of partitions', 'The offsets; partitions without one are left out'],
    {
      description:
        'The partitions stand in a body, `{"partitions":[{"topic":"orders","partition":0}]}`, or in the query.',
      query: {
        topic: text.optional().describe('in place of a body, for clients that cannot send one'),
        partition: z.int().min(0).optional()
      },
      body: ['The partitions', partitionsBody, 'mayBeAbsent'],
      answer: z.object({ offsets: z.array(offset) }),
      answers: { 413: { description: 'The body is too large', ...failure } },
      rights: 'ofRequest'
    },
    async (ask, sent: z.output<typeof partitionsBody> | undefined) => {
      const partitions = sent === undefined ? partitionsInQuery(ask.exchange) : sent.partitions.map(placeOf)
      ask.require(topicNamesOf(partitions))
      return { offsets: await ask.does('committed', partitions) }
    }
  )
} as const satisfies Readonly<Record<string, ConsumerRoute>>

/** @throws ApiError when the query has none */
function partitionsInQuery(exchange: Exchange) {
  const query = queryOf(sentUrlOf(exchange.request))
  const topics = query.getAll('topic')
  const numbers = query.getAll('partition')
  const isComplete =
    topics.length > 0 && topics.length === numbers.length && numbers.every(text => /^\d{1,9}$/.test(text))
  if (!isComplete) throw NO_PARTITIONS
  return topics.map((topic, at) => ({ topic, partition: Number(numbers[at]) }))
}
