import { randomUUID } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { z } from 'zod'
import { exactTimestamp } from '../../core/instants.js'
import { groupBy } from '../../core/maps.js'
import { ApiError } from '../../http/api/api-answers.js'
import { answerWork } from '../../http/api/endpoint.js'
import { describedPath } from '../../http/api/routes.js'
import { type Exchange, sentUrlOf, writtenUrlOf } from '../../http/exchange/exchange.js'
import type { Operation } from '../../http/openapi/operation.js'
import type { VerbPath } from '../../verbs/facts.js'
import type { InstancePosition, InstanceRecord, InstanceSettings } from '../../verbs/verbs.js'
import {
  AUTO_COMMIT_MS,
  type InstanceApi,
  type InstanceAsk,
  MAX_READ_BYTES,
  queryOf,
  type ReadTerms,
  topicNamesOf
} from '../instance-routes.js'
import {
  bridgeCommitBody,
  bridgeOffsetsBody,
  consumedRecords,
  consumerBody,
  createdConsumer,
  placesBody,
  subscribed,
  text,
  topicsBody
} from './bodies.js'
import { type Bridge, type BridgeRoute, describedBody, failure, ofRecords, v2 } from './routes.js'
import type { StrimziSettings } from './settings.js'
import {
  BRIDGE_TYPE,
  BRIDGE_TYPES,
  type BridgeFormat,
  type BridgeParts,
  schemaProblem,
  validated,
  withJson,
  withoutBody,
  wrongType
} from './strimzi-answers.js'

const API = 'strimzi'
const FORMATS: readonly BridgeFormat[] = ['binary', 'json', 'text']
const POLL_MS = 100
/** The longest wait of a read, whatever `timeout` says. */
const MAX_WAIT_MS = 10 * 60_000
const DEFAULT_PORTS: ReadonlyMap<string, number> = new Map([
  ['http', 80],
  ['https', 443]
])

const exclusive = (): ApiError =>
  new ApiError(409, 'Subscriptions to topics, partitions, and patterns are mutually exclusive.')
const noAssignments = (): ApiError =>
  new ApiError(500, 'Consumer is not subscribed to any topics or assigned any partitions')

/** Names of the bridge in texts, and its errors. */
const words = {
  name: API,
  noun: 'consumer',
  group: 'groupid',
  instance: 'name',
  unknown: () => new ApiError(404, 'The specified consumer instance was not found.'),
  nameTaken: () => new ApiError(409, 'A consumer instance with the specified name already exists in the Kafka Bridge.'),
  illegalState: message => new ApiError(409, message),
  otherFormat: () =>
    new ApiError(406, 'Consumer format does not match the embedded format requested by the Accept header.'),
  failed: error => error,
  unavailable: message => new ApiError(503, message),
  forbidden: error => error,
  unreadable: message => new ApiError(406, `Failed to decode: ${message}`),
  unreadableCode: 406,
  invalid: message => new ApiError(400, `Validation error on: ${message}`)
} satisfies Partial<InstanceApi>

export const consumerApiOf = (parts: BridgeParts): InstanceApi => ({
  ...words,
  parts,
  withBody(exchange, body, use) {
    if (body === 'noBody') withoutBody(parts, exchange, () => use(undefined))
    else {
      withJson(parts, exchange, BRIDGE_TYPE, json => {
        if (body === 'needsBody' && json === undefined) {
          throw new ApiError(400, 'Validation error on: the body is missing')
        }
        use(json)
      })
    }
  },
  work(exchange, work) {
    answerWork(parts, exchange, async client => {
      const result = await work()
      if (result === undefined) parts.answers.noContent(exchange)
      else
        await parts.longLists.answerObject(result as object, client, exchange.response, made =>
          parts.answers.object(exchange, made)
        )
    })
  }
})

const CONSUMERS = ['Consumers']
const PARAMS = { groupid: text.describe('The consumer group'), name: text.describe('The name of the consumer') }
const GROUP = '/consumers/{groupid}'
const INSTANCE = `${GROUP}/instances/{name}`
const EXCLUSIVE = { 409: failure('The consumer has a subscription or an assignment of another kind') }

interface BridgeVerb<Sent> {
  /** Default: `post`. */
  readonly method?: 'get' | 'delete'
  /** Absent: the route has no body. */
  readonly body?: z.ZodType<Sent>
  /** The body may be absent: it counts as an empty object. */
  readonly isOptional?: boolean
  readonly answers?: Operation['answers']
  readonly tags?: readonly string[]
}

const missing = {
  404: failure('There is no such consumer, or it does not read a named partition'),
  422: failure('A name, a number or the pattern cannot be used')
}

/** A route of one consumer. @param work its result is the answer; `undefined`: 204 */
function verb<Sent = undefined>(
  verb: VerbPath,
  path: string,
  summary: string,
  { method, body, isOptional = false, answers, tags = CONSUMERS }: BridgeVerb<Sent>,
  work: (ask: InstanceAsk, sent: Sent) => Promise<unknown>
): BridgeRoute {
  return {
    verb,
    method: method ?? 'post',
    ...describedPath(INSTANCE + path, PARAMS),
    summary,
    tags,
    ...(body && { body: describedBody('As described', v2(body), !isOptional) }),
    answers: { ...(answers?.[200] === undefined && { 204: { description: 'Done' } }), ...missing, ...answers },
    receive({ consumers }, exchange, params) {
      const carryOut = async (ask: InstanceAsk, json: unknown): Promise<unknown> =>
        work(ask, (body && validated(isOptional ? (json ?? {}) : json, body)) as Sent)
      const needs = body === undefined ? 'noBody' : isOptional ? 'mayHaveBody' : 'needsBody'
      consumers.verb(verb, needs, carryOut)(exchange, params)
    }
  }
}

async function seek(ask: InstanceAsk, positions: readonly InstancePosition[]): Promise<void> {
  ask.require(topicNamesOf(positions))
  const result = await ask.result('seek', positions)
  if (result.type !== 'illegalState') return ask.done(result)
  const assigned = await ask.does('assignment')
  const missing = positions.find(
    ({ topic, partition }) => !assigned.some(one => one.topic === topic && one.partition === partition)
  )
  const { topic, partition } = missing ?? positions[0]!
  throw new ApiError(404, `No current assignment for partition ${topic}-${partition}`)
}

const SEEK = ['Seek', ...CONSUMERS]

const seekTo = (position: 'beginning' | 'end', summary: string): BridgeRoute =>
  verb(
    'instances.seek',
    `/positions/${position}`,
    summary,
    { body: placesBody, tags: SEEK },
    async (ask, { partitions }) =>
      seek(
        ask,
        partitions.map(place => ({ ...place, position }))
      )
  )

/** The routes of consumers by the ids that the bridge has published. */
export const bridgeConsumerRoutes = {
  createConsumer: {
    verb: 'instances.create',
    method: 'post',
    ...describedPath(GROUP, PARAMS),
    summary: 'Creates a consumer',
    tags: CONSUMERS,
    body: describedBody('As described', v2(consumerBody), false),
    answers: {
      200: { description: 'Its name and address', content: v2(createdConsumer) },
      409: failure('The group has a consumer of this name'),
      422: failure('A setting has a value that is not known')
    },
    receive({ consumers, context: { settings }, proxies }, exchange, params) {
      const wantedIn = (json: unknown) => {
        const body = validated(json ?? {}, consumerBody)
        const name = body.name ?? `${settings.bridgeId ?? 'kafka-bridge-consumer'}-${randomUUID()}`
        return { name, settings: settingsOf(body, settings) }
      }
      const uriOf = (_: Exchange, _group: string, name: string): string =>
        `${addressOf(exchange, proxies)}/instances/${encodeURIComponent(name)}`
      consumers.creates(wantedIn, uriOf)(exchange, params)
    }
  },
  deleteConsumer: verb('instances.remove', '', 'Removes a consumer', { method: 'delete' }, ask => ask.does('remove')),
  subscribe: verb(
    'instances.subscribe',
    '/subscription',
    'Subscribes to topics',
    { body: topicsBody, answers: EXCLUSIVE },
    async (ask, { topics, topic_pattern: pattern }) => {
      if (topics !== undefined && pattern !== undefined) throw exclusive()
      if (topics !== undefined) await ask.subscribe({ topics }, exclusive)
      else if (pattern !== undefined) await ask.subscribe({ pattern }, exclusive)
      else throw new ApiError(422, 'A list (of Topics type) or a topic_pattern must be specified.')
    }
  ),
  unsubscribe: verb(
    'instances.unsubscribe',
    '/subscription',
    'Ends a subscription or an assignment',
    { method: 'delete' },
    ask => ask.does('unsubscribe')
  ),
  listSubscriptions: verb(
    'instances.describe',
    '/subscription',
    'The topics, and the partitions that are read now',
    { method: 'get', answers: { 200: { description: 'Topics, and partitions by topic', content: v2(subscribed) } } },
    async ask => {
      const { subscription, assignment } = await ask.does('describe')
      const byTopic = groupBy(assignment, ({ topic }) => topic)
      const partitions = [...byTopic].map(([topic, places]) => ({ [topic]: places.map(({ partition }) => partition) }))
      return { topics: [...new Set([...subscription, ...byTopic.keys()])], partitions }
    }
  ),
  assign: verb(
    'instances.assign',
    '/assignments',
    'Assigns partitions',
    { body: placesBody, answers: EXCLUSIVE },
    (ask, { partitions }) => ask.assign(partitions, exclusive)
  ),
  seek: verb(
    'instances.seek',
    '/positions',
    'Moves the positions of partitions',
    { body: bridgeOffsetsBody, tags: SEEK },
    (ask, { offsets }) =>
      seek(
        ask,
        offsets.map(({ offset, ...place }) => ({ ...place, position: offset }))
      )
  ),
  seekToBeginning: seekTo('beginning', 'Moves to the first records'),
  seekToEnd: seekTo('end', 'Moves behind the last records'),
  poll: {
    verb: 'instances.read',
    method: 'get',
    ...describedPath(`${INSTANCE}/records`, PARAMS),
    summary: 'Reads records',
    tags: CONSUMERS,
    query: {
      timeout: z.int().min(0).optional().describe('how long to wait, in milliseconds. Default: 100'),
      max_bytes: z.int().min(0).optional().describe('limit for keys and values; one record is returned in any case')
    },
    answers: {
      200: { description: 'The records; none came in time: an empty list', content: ofRecords(consumedRecords) },
      ...missing,
      406: failure('Accept does not name the format of the consumer, or a record is not in this format')
    },
    receive({ consumers }, exchange, params) {
      consumers.reads(readOptionsOf, format => BRIDGE_TYPES[format as BridgeFormat])(exchange, params)
    }
  },
  commit: verb(
    'instances.commit',
    '/offsets',
    'Commits offsets as they are given; without a body those that were read',
    { body: bridgeCommitBody, isOptional: true },
    async (ask, { offsets }) => {
      ask.require(topicNamesOf(offsets ?? []), 'offsets')
      await ask.does('commit', offsets?.map(offset => ({ ...offset, metadata: '' })) ?? 'accepted')
    }
  )
} as const satisfies Readonly<Record<string, BridgeRoute>>

/** @throws ApiError */
function readOptionsOf({ request }: Exchange): ReadTerms {
  const query = queryOf(sentUrlOf(request))
  const accepted = request.headers.accept?.trim().toLowerCase()
  return {
    timeoutMs: wholeIn(query, 'timeout') ?? POLL_MS,
    maxBytes: Math.min(wholeIn(query, 'max_bytes') ?? MAX_READ_BYTES, MAX_READ_BYTES),
    formats: FORMATS.filter(format => BRIDGE_TYPES[format] === accepted),
    membersOf: timestampAndHeadersOf,
    illegalState: noAssignments
  }
}

/** @throws ApiError */
function settingsOf(
  body: z.output<typeof consumerBody>,
  { startFrom, instanceIdleMs }: StrimziSettings
): InstanceSettings {
  const format = oneOf('format', body.format, FORMATS) ?? 'binary'
  const start = oneOf('auto.offset.reset', body['auto.offset.reset'], ['earliest', 'latest', 'none'] as const)
  oneOf('isolation.level', body['isolation.level'], ['read_committed', 'read_uncommitted'] as const)
  const minBytes = notNegative('fetch.min.bytes', body['fetch.min.bytes'])
  notNegative('consumer.request.timeout.ms', body['consumer.request.timeout.ms'])
  return {
    api: API,
    format,
    start: start ?? startFrom,
    autoCommitMs: body['enable.auto.commit'] === false ? undefined : AUTO_COMMIT_MS,
    minBytes: minBytes === undefined || minBytes <= 1 ? undefined : minBytes,
    maxWaitMs: MAX_WAIT_MS,
    maxBytes: MAX_READ_BYTES,
    idleMs: instanceIdleMs
  }
}

/** The address of a request as its client has written it; a trusted proxy may say what that is. */
function addressOf({ request }: Exchange, proxies: Bridge['proxies']): string {
  const { headers, socket } = request
  let scheme = (socket as TLSSocket).encrypted === true ? 'https' : 'http'
  let host = headers.host ?? `${socket.localAddress}:${socket.localPort}`
  let path = writtenUrlOf(request).replace(/[?#].*$/, '')
  const said = proxies.forwarded(request)
  path = said.path || path
  if (said.scheme && said.host) [scheme, host] = [said.scheme, said.host]
  if (!/:\d+$/.test(host)) {
    const port = DEFAULT_PORTS.get(scheme)
    if (port === undefined) throw new ApiError(500, `${scheme} is not a valid schema/proto.`)
    host += `:${port}`
  }
  return `${scheme}://${host}${path.replace(/\/+$/, '')}`
}

/** @throws ApiError */
function oneOf<Value extends string>(name: string, text: string | undefined, all: readonly Value[]): Value | undefined {
  const found = all.find(value => value === text)
  if (text === undefined || found !== undefined) return found
  if (name === 'format') throw new ApiError(422, 'Invalid format type.')
  const message = `Invalid value ${text.slice(0, 100)} for configuration ${name}: String must be one of: ${all.join(', ')}`
  throw new ApiError(422, message)
}

/** @throws ApiError */
function notNegative(name: string, number: number | undefined): number | undefined {
  if (number === undefined || number >= 0) return number
  throw new ApiError(422, `Invalid value ${number} for configuration ${name}: Value must be at least 0`)
}

/** A number of a query. @throws ApiError */
function wholeIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  if (!/^\d{1,15}$/.test(text)) throw schemaProblem(wrongType('string', 'integer'))
  return Number(text)
}

const timestampAndHeadersOf = (record: InstanceRecord): string =>
  `,"timestamp":${exactTimestamp(record.timestampMs)}${headersOf(record)}`

function headersOf({ headers }: InstanceRecord): string {
  if (headers === undefined || headers.length === 0) return ''
  const all = headers.map(({ key, value }) => ({
    key,
    value: value === null ? null : asBuffer(value).toString('base64')
  }))
  return `,"headers":${JSON.stringify(all)}`
}

const asBuffer = (bytes: Uint8Array | string): Buffer => Buffer.from(bytes as Uint8Array)
