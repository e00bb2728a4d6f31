import { z } from 'zod'
import { ForbiddenError } from '../../core/errors.js'
import type { Caller } from '../../http/access/access.js'
import { type ApiContext, LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { admits, admitsManager, admitsRuled, answerWork, seenBy } from '../../http/api/endpoint.js'
import { LongList, lazily, longListIn } from '../../http/api/long-lists.js'
import { type AnsweredRoute, describedPath } from '../../http/api/routes.js'
import { type Exchange, hasBody, isOnOwnPort } from '../../http/exchange/exchange.js'
import { isHeldApart } from '../../http/exchange/leaving-records.js'
import { renderingOf } from '../../http/exchange/shared-rendering.js'
import type { TrustedProxies } from '../../http/exchange/trusted-proxies.js'
import { type Body, type Content, json, type Operation } from '../../http/openapi/operation.js'
import { errorCodes, kafkaErrorOf, NO_SUCH_TOPIC } from '../../kafka/error-codes.js'
import type { VerbPath } from '../../verbs/facts.js'
import type { TopicMetadata, Verbs } from '../../verbs/verbs.js'
import type { InstanceRoutes } from '../instance-routes.js'
import {
  bridgeError,
  model,
  newTopicBody,
  offsetsSummary,
  partitionObject,
  partitionRecordsBody,
  recordsBody,
  sentOffsets,
  text,
  topicMetadata
} from './bodies.js'
import type { StrimziSettings } from './settings.js'
import {
  BRIDGE_TYPE,
  BRIDGE_TYPES,
  type BridgeParts,
  partitionNumberIn,
  validated,
  withJson
} from './strimzi-answers.js'

/** The parts that answer the routes. */
export interface Bridge {
  readonly parts: BridgeParts
  readonly context: ApiContext<StrimziSettings>
  readonly consumers: InstanceRoutes
  /** Whether a peer is a proxy that may say how clients reach it. */
  readonly proxies: TrustedProxies
  /** The operations as the bridge describes them. */
  readonly documentFor: (exchange: Exchange) => Buffer
}

export interface BridgeRoute extends AnsweredRoute<Bridge> {
  /** The groups in which the bridge lists it. Absent: it is about the process itself. */
  readonly tags?: readonly string[]
}

type BridgeAnswers = Operation['answers']

export const v2 = (schema: z.ZodType): Content => ({ [BRIDGE_TYPE]: schema })
export const ofRecords = (schema: z.ZodType): Content =>
  Object.fromEntries(Object.values(BRIDGE_TYPES).map(type => [type, schema]))
export const failure = (description: string) => ({ description, content: v2(bridgeError) })
export const describedBody = (description: string, content: Content, required = true): Body => ({
  description,
  content,
  required
})

/** Refusals that each operation can answer with, unless it says more. */
const refusals: BridgeAnswers = {
  400: failure('The request does not have the described form'),
  401: failure('No credentials, or wrong ones'),
  403: failure('The client may not do this'),
  408: failure('The request comes too slowly'),
  429: failure('A quota is used up'),
  500: failure('The request failed in Kafka, or unexpectedly'),
  503: failure('Overloaded, or shutting down')
}
export const refusalsOf = ({ body }: BridgeRoute): BridgeAnswers => ({
  ...refusals,
  ...(body !== undefined && { 413: failure('The body is too large') })
})

const PARAMS = { topicname: text.describe('The topic'), partitionid: z.int().min(0).describe('The partition') }
const TOPICS = ['Topics']
const TOPIC = '/topics/{topicname}'
const PARTITION = `${TOPIC}/partitions/{partitionid}`

const produce = (path: string, summary: string, schema: z.ZodType): BridgeRoute => ({
  verb: 'produce',
  method: 'post',
  ...describedPath(path, PARAMS),
  summary,
  tags: [...TOPICS, 'Producer'],
  query: {
    async: z
      .boolean()
      .optional()
      .describe('true: answered 204 when the records are accepted, on disk with `durability: disk`')
  },
  body: describedBody('The records', ofRecords(schema)),
  produces: true,
  answers: {
    200: {
      description: 'One entry for each record, in their order; records may have failed',
      content: v2(sentOffsets)
    },
    204: { description: 'With `async`: the records are accepted' },
    422: failure('A key, value or header has another form than the format asks for')
  }
})

/** A request about a topic, or all of them, that has its permission. */
interface AskOfTopics {
  readonly verbs: Verbs
  readonly caller: Caller
  readonly topic: string
  readonly partition: string
}

const lookUp = (
  verb: VerbPath,
  path: string,
  summary: string,
  schema: z.ZodType,
  work: (ask: AskOfTopics) => Promise<unknown>
): BridgeRoute => ({
  verb,
  method: 'get',
  ...describedPath(path, PARAMS),
  summary,
  tags: TOPICS,
  answers: {
    200: { description: 'What was asked for', content: v2(schema) },
    404: failure('There is no such topic, or no such partition')
  },
  receive({ parts, context: { verbs } }, exchange, { topicname: topic, partitionid: partition = '' }) {
    if (!admits(parts, exchange, verb, { topic })) return
    const caller = parts.access.callerOf(exchange.request)
    const { answers, longLists } = parts
    answerWork(parts, exchange, async client => {
      const result = await work({ verbs, caller, topic: topic ?? '', partition })
      const list = result instanceof LongList ? result : longListIn(result)
      if (list !== undefined)
        await longLists.answer(list, client, exchange.response, made => answers.long(exchange, made))
      else answers.ok(exchange, result)
    })
  }
})

/** @throws ApiError when there is no such topic, KafkaError when it cannot be read */
async function topicOf({ verbs, topic }: AskOfTopics): Promise<TopicMetadata> {
  const found = (await verbs.topics([topic], LOOK_UP_TIMEOUT_MS)).get(topic)
  if (found?.errorCode === errorCodes.NONE) return found
  if (found !== undefined && !NO_SUCH_TOPIC.has(found.errorCode)) throw kafkaErrorOf(found.errorCode)
  throw new ApiError(404, `there is no topic ${topic}`)
}

type Partition = TopicMetadata['partitions'][number]

/** @throws ApiError when there is none */
async function partitionOf(ask: AskOfTopics): Promise<Partition> {
  const number = partitionNumberIn(ask.partition)
  const found = (await topicOf(ask)).partitions.find(({ partition }) => partition === number)
  if (found === undefined) throw noPartition(ask.topic, number)
  return found
}

const noPartition = (topic: string, partition: number): ApiError =>
  new ApiError(404, `topic ${topic} has no partition ${partition}`)

const partitionJson = ({ partition, leaderId, replicas, isr }: Partition): object => ({
  partition,
  leader: leaderId,
  replicas: replicas.map(broker => ({ broker, leader: broker === leaderId, in_sync: isr.includes(broker) }))
})

function* partitionsJson(partitions: readonly Partition[]): Iterable<object> {
  for (const one of partitions) yield partitionJson(one)
}

/** A route about the process itself. */
const plain = (
  path: string,
  summary: string,
  answers: BridgeAnswers,
  receive: BridgeRoute['receive']
): BridgeRoute => ({
  verb: 'none',
  method: 'get',
  path,
  summary,
  answers,
  ...(receive && { receive })
})

const document = { 200: { description: 'An OpenAPI 3.1 document', content: json(z.looseObject({})) } }
const sendDocument: BridgeRoute['receive'] = ({ parts, documentFor }, exchange) => {
  if (admitsRuled(parts, exchange)) parts.answers.send(exchange, 200, 'application/json', documentFor(exchange))
}

/** The routes about topics by the ids that the bridge has published. */
export const bridgeTopicRoutes = {
  send: produce(TOPIC, 'Produces records', recordsBody),
  sendToPartition: produce(PARTITION, 'Produces records to one partition', partitionRecordsBody),
  listTopics: lookUp('topics', '/topics', 'The names of the topics', z.array(text), async ({ verbs, caller }) => {
    const all = await verbs.topics('all', LOOK_UP_TIMEOUT_MS)
    const isVisible = seenBy(caller, 'topics', 'topic')
    const isListed = ({ isInternal, topic }: TopicMetadata): boolean => !isInternal && isVisible({ topic })
    const names = lazily(() =>
      [...all.values()]
        .filter(isListed)
        .map(({ topic }) => topic)
        .sort()
    )
    return new LongList('topics', '[', names, ']')
  }),
  getTopic: lookUp('topics', TOPIC, 'Settings and partitions of a topic', topicMetadata, async ask => {
    const { topic: name, verbs } = ask
    const { partitions } = await topicOf(ask)
    const entries = await verbs.admin.describeConfigs([{ type: 'topic', name }], LOOK_UP_TIMEOUT_MS)
    const configs = Object.fromEntries((entries.get(name) ?? []).map(entry => [entry.name, entry.value]))
    const empty = JSON.stringify({ name, configs, partitions: [] })
    const end = empty.length - ']}'.length
    return new LongList('topic', empty.slice(0, end), partitionsJson(partitions), empty.slice(end))
  }),
  listPartitions: lookUp(
    'topics',
    `${TOPIC}/partitions`,
    'The partitions of a topic',
    z.array(partitionObject),
    async ask => new LongList('partitions', '[', partitionsJson((await topicOf(ask)).partitions), ']')
  ),
  getPartition: lookUp('topics', PARTITION, 'A partition', partitionObject, async ask =>
    partitionJson(await partitionOf(ask))
  ),
  getOffsets: lookUp(
    'admin.logEnds',
    `${PARTITION}/offsets`,
    'Where the log of a partition begins and ends',
    offsetsSummary,
    async ask => {
      const { topic, verbs } = ask
      const { partition } = await partitionOf(ask)
      const [ends] = await verbs.admin.logEnds([{ topic, partition }], LOOK_UP_TIMEOUT_MS)
      if (ends === undefined) throw noPartition(topic, partition)
      return { beginning_offset: ends.start, end_offset: ends.end }
    }
  ),
  createTopic: {
    verb: 'admin.createTopic',
    method: 'post',
    path: '/admin/topics',
    summary: 'Creates a topic',
    tags: TOPICS,
    body: describedBody('The topic', { [BRIDGE_TYPES.json]: newTopicBody }),
    answers: {
      201: { description: 'The topic is created', content: v2(z.object({})) },
      409: failure('There is a topic of this name'),
      422: failure('Kafka does not take the name or a number')
    },
    /** If no rules say who may create topics, only clients of the API's own port may, as in the API of Confluent. */
    receive({ parts, context: { verbs } }, exchange) {
      const { access, answers } = parts
      if (!isOnOwnPort(exchange) && !access.callerOf(exchange.request).isRuled) {
        const why = "topics are created on the API's own port (apis.strimzi.port), or where a rule of access allows it"
        answers.fail(exchange, new ForbiddenError(why), !hasBody(exchange))
        return
      }
      withJson(parts, exchange, BRIDGE_TYPES.json, json => {
        const { topic_name: name, partitions_count, replication_factor } = validated(json ?? {}, newTopicBody)
        if (!admits(parts, exchange, 'admin.createTopic', { topic: name })) return
        const [partitions, replicationFactor] = [partitions_count ?? undefined, replication_factor ?? undefined]
        answerWork(parts, exchange, async () => {
          await verbs.admin.createTopic({ name, partitions, replicationFactor }, { timeoutMs: LOOK_UP_TIMEOUT_MS })
          answers.send(exchange, 201, BRIDGE_TYPE, '{}')
        })
      })
    }
  }
} as const satisfies Readonly<Record<string, BridgeRoute>>

export const processRoutes = {
  healthy: plain(
    '/healthy',
    'Answers while the process serves requests',
    { 200: { description: 'It does' } },
    ({ parts }, exchange) => parts.answers.send(exchange, 200, undefined, '')
  ),
  ready: plain(
    '/ready',
    'Whether Kafka answers',
    { 200: { description: 'It does' }, 500: { description: 'It does not', content: v2(bridgeError) } },
    ({ parts: { answers }, context: { verbs } }, exchange) => {
      if (verbs.isReady) answers.send(exchange, 200, undefined, '')
      else answers.fail(exchange, new ApiError(500, 'no broker answers'))
    }
  ),
  openapi: plain('/openapi', 'These operations', document, sendDocument),
  openapiv3: plain('/openapi/v3', 'The same', document, sendDocument),
  metrics: plain(
    '/metrics',
    'Metrics in the text format of Prometheus',
    {
      200: { description: 'The metrics of this process', content: { 'text/plain': text } }
    },
    ({ parts, context: { metrics } }, exchange) => {
      const { registry } = metrics
      const { answers } = parts
      if (!admitsManager(parts, exchange)) return
      const sent = renderingOf(registry)
        .get()
        .then(text => {
          isHeldApart(exchange.response)
          answers.send(exchange, 200, registry.contentType, text)
        })
      sent.catch(error => answers.fail(exchange, error))
    }
  ),
  info: plain(
    '/',
    'Says which version answers',
    {
      200: {
        description: 'The version',
        content: json(model('BridgeInfo', z.object({ bridge_version: text })))
      }
    },
    ({ parts, context: { version = '0' } }, exchange) => {
      if (admitsRuled(parts, exchange))
        parts.answers.send(exchange, 200, 'application/json', JSON.stringify({ bridge_version: version }))
    }
  )
} as const satisfies Readonly<Record<string, BridgeRoute>>
