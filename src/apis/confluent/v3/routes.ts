import { z } from 'zod'
import { ForbiddenError } from '../../../core/errors.js'
import type { BrokerNode, MonotonicClock } from '../../../core/model.js'
import type { AccessTarget, Caller } from '../../../http/access/access.js'
import { ApiError } from '../../../http/api/api-answers.js'
import { authorize, type Params } from '../../../http/api/endpoint.js'
import type { LongList } from '../../../http/api/long-lists.js'
import { type AnsweredRoute, type Described, describedPath } from '../../../http/api/routes.js'
import { type Exchange, hasBody, isOnOwnPort } from '../../../http/exchange/exchange.js'
import { JSON_TYPE } from '../../../http/exchange/modern-answers.js'
import { json, type Operation } from '../../../http/openapi/operation.js'
import type { ClusterDescription } from '../../../verbs/admin.js'
import type { VerbPath } from '../../../verbs/facts.js'
import type { Verbs } from '../../../verbs/verbs.js'
import { answerAllowed, type ConfluentParts, error, readSmallBody, TimeLeft } from '../look-up.js'
import { charsetOf } from '../media-types.js'
import { checked, jsonIn } from '../record-bytes.js'
import type { ConfluentSettings } from '../settings.js'
import { baseUrlOf, Links, listOf, type Resource, type ResourceKind, text } from './resources.js'

/** A route of version 3: its description for OpenAPI, and its handler. */
export type V3Route = AnsweredRoute<V3Requests>

/** Parts that answer requests about the cluster. */
export interface V3Requests {
  readonly parts: ConfluentParts
  readonly verbs: Verbs
  /** Time limit of a whole request. */
  readonly timeoutMs: number
  readonly clock: MonotonicClock
  /** Prefix of the API on the shared port. */
  readonly prefix: string
  readonly administration: ConfluentSettings['administration']
}

/** A request about the cluster of its path, which has its permission. */
export interface AskV3 {
  readonly exchange: Exchange
  readonly params: Params
  readonly caller: Caller
  readonly verbs: Verbs
  readonly links: Links
  readonly time: TimeLeft
  /** Asks Kafka for the brokers and the controller. */
  describe(): Promise<ClusterDescription>
}

interface Changed {
  /** Default: 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Resource
}

const failure = { content: json(error) }
const refusals: Operation['answers'] = {
  403: { description: 'The client, or Castellan itself, may not do this', ...failure },
  404: { description: 'There is no such thing', ...failure },
  500: { description: 'Kafka cannot be asked', ...failure }
}
const refusalsOfChange: Operation['answers'] = {
  ...refusals,
  400: { description: 'The body is wrong, or Kafka refuses it', ...failure },
  415: { description: 'The content type is not application/json', ...failure },
  422: { description: 'The body is empty, or has an unknown member', ...failure }
}
export const done = { 204: { description: 'It is done' } }

const PARAMS = {
  cluster_id: text.describe('The id of the cluster'),
  topic_name: text.describe('The topic'),
  partition_id: z.int().describe('The partition'),
  broker_id: z.int().describe('The id of the broker'),
  consumer_group_id: text.describe('The consumer group'),
  share_group_id: text.describe('The share group'),
  consumer_id: text.describe('The id of the member'),
  name: text
}
export const CLUSTER = '/v3/clusters/{cluster_id}'

/** The subject of a path, for the check of rights: a group with its topics, or a topic. */
function targetOf({ consumer_group_id, share_group_id, topic_name: topic }: Params): AccessTarget {
  const group = consumer_group_id ?? share_group_id
  return group === undefined ? { topic } : { group }
}

function read(
  verb: VerbPath,
  path: string,
  summary: string,
  schema: z.ZodType,
  work: (ask: AskV3) => Promise<Resource | LongList>
): V3Route {
  const answers = { 200: { description: summary, content: json(schema) }, ...refusals }
  return {
    verb,
    method: 'get',
    ...describedPath(path, PARAMS),
    summary,
    answers,
    receive(requests, exchange, params) {
      if (isAllowed(requests, exchange, verb, targetOf(params), true)) answer(requests, exchange, params, work)
    }
  }
}

export const one = <One>(
  verb: VerbPath,
  path: string,
  summary: string,
  kind: ResourceKind<One>,
  find: (ask: AskV3) => Promise<One>
): V3Route => read(verb, path, summary, kind.schema, async ask => kind.json(await find(ask), ask.links))

export const list = <One>(
  verb: VerbPath,
  path: string,
  summary: string,
  kind: ResourceKind<One>,
  all: (ask: AskV3) => Promise<Iterable<One> | AsyncIterable<One>>
): V3Route =>
  read(verb, path, summary, listOf(kind.schema), async ask => ask.links.list(kind, path, ask.params, await all(ask)))

interface ChangeRoute<Body> {
  readonly verb: VerbPath
  readonly method: Described['method']
  readonly path: string
  readonly summary: string
  readonly body?: readonly [description: string, schema: z.ZodType<Body>, described?: z.ZodType]
  /** Default: 204. */
  readonly answers?: Operation['answers']
  /**
   * Subjects whose rights are checked. Default: that of the path, before the body is read. `each`: the work checks each subject.
   */
  readonly targetOf?: 'each' | ((body: Body) => AccessTarget)
}

/** A route that changes something. @param work without a result: 204 */
export function change<Body = undefined>(
  { verb, method, path, summary, body, answers = done, targetOf: targetIn }: ChangeRoute<Body>,
  work: (ask: AskV3, body: Body) => Promise<Changed | undefined>
): V3Route {
  return {
    verb,
    method,
    ...describedPath(path, PARAMS),
    summary,
    ...(body && { body: { description: body[0], content: json(body[2] ?? body[1]) } }),
    answers: { ...refusalsOfChange, ...answers },
    receive(requests, exchange, params) {
      if (!isServed(requests, exchange)) return
      if (targetIn === undefined && !isAllowed(requests, exchange, verb, targetOf(params))) return
      readBody(requests.parts, exchange, body?.[1], sent => {
        if (typeof targetIn === 'function' && !isAllowed(requests, exchange, verb, targetIn(sent), true)) return
        answer(requests, exchange, params, async ask => {
          const { answers } = requests.parts
          const { status = 200, headers = {}, body: json } = (await work(ask, sent)) ?? {}
          if (json !== undefined && status === 200) return json
          if (json === undefined) answers.noContent(exchange)
          else answers.send(exchange, status, JSON_TYPE, JSON.stringify(json), { headers })
          return undefined
        })
      })
    }
  }
}

/** Refuses a change when changes are off. If no rules say who may make a change, only clients of the API's own port may. */
function isServed({ parts, administration }: V3Requests, exchange: Exchange): boolean {
  const { isRuled } = parts.access.callerOf(exchange.request)
  if (administration !== 'off' && (isOnOwnPort(exchange) || administration === 'everywhere' || isRuled)) return true
  const why =
    administration === 'off'
      ? 'changes are off; apis.confluent.administration: ownPort or everywhere allows them'
      : 'changes are off on this port; a rule of access or apis.confluent.administration: everywhere allows them'
  parts.answers.fail(exchange, new ForbiddenError(why), !hasBody(exchange))
  return false
}

function isAllowed(
  { parts: { access, answers } }: V3Requests,
  exchange: Exchange,
  verb: VerbPath,
  target: AccessTarget,
  isRead = !hasBody(exchange)
): boolean {
  const refusal = authorize(access.callerOf(exchange.request), verb, target)
  if (refusal !== undefined) answers.fail(exchange, refusal, isRead)
  return refusal === undefined
}

/** The Router has not noticed it yet, so the id in links would be that of the former cluster. */
const OTHER_CLUSTER = new ApiError(
  500,
  'another Kafka cluster answers at the same addresses; a later attempt reads it',
  { code: 50003 }
)

/** Does the work of a request, if it names this cluster. @param work `undefined` as its result: it has answered by itself */
function answer(
  { parts, verbs, timeoutMs, clock, prefix }: V3Requests,
  exchange: Exchange,
  params: Params,
  work: (ask: AskV3) => Promise<Resource | LongList | undefined>
): void {
  const { cluster_id: asked, topic_name: topic } = params
  answerAllowed(parts, exchange, 'v3', topic, async () => {
    const time = new TimeLeft(timeoutMs, clock)
    const clusterId = (await verbs.admin.clusterId(time.ms)) ?? asked ?? 'unknown'
    if (asked !== undefined && asked !== clusterId)
      throw notFound(`there is no cluster ${asked}; GET /v3/clusters tells the id`)
    const describe = async (): Promise<ClusterDescription> => {
      const description = await verbs.admin.describeCluster(time.ms)
      if ((description.clusterId ?? clusterId) !== clusterId) throw OTHER_CLUSTER
      return description
    }
    const links = new Links(baseUrlOf(exchange.request, prefix), clusterId)
    const caller = parts.access.callerOf(exchange.request)
    return work({ exchange, params, caller, verbs, links, time, describe })
  })
}

/** Reads the body of a change. @param use may throw a ApiError */
function readBody<Body>(
  parts: ConfluentParts,
  exchange: Exchange,
  schema: z.ZodType<Body> | undefined,
  use: (body: Body) => void
): void {
  if (schema === undefined) {
    use(undefined as Body)
    return
  }
  try {
    // Without a body there is nothing whose type could be wrong.
    const charset = hasBody(exchange) ? charsetOf(exchange.request.headers['content-type']) : 'utf8'
    readSmallBody(parts, exchange, bytes => {
      use(checked(jsonIn(charset === 'utf8' ? bytes : Buffer.from(bytes.toString(charset))), schema, 400))
    })
  } catch (error) {
    parts.answers.fail(exchange, error, false)
  }
}

export const notFound = (message: string): ApiError => new ApiError(404, message)

/** The broker that the path names. @throws ApiError when there is none */
export async function brokerOf({ describe, params: { broker_id: id } }: AskV3): Promise<BrokerNode> {
  const found = (await describe()).brokers.find(({ nodeId }) => String(nodeId) === id)
  if (found === undefined) throw notFound(`there is no broker ${id}`)
  return found
}
