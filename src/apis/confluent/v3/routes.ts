import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { ForbiddenError } from '../../../core/errors.js'
import type { BrokerNode, MonotonicClock } from '../../../core/model.js'
import type { ClusterDescription } from '../../../gateway/admin.js'
import type { Gateway } from '../../../gateway/gateway.js'
import type { Caller, Operation as Permission, Target } from '../../../http/access/access.js'
import type { Params } from '../../../http/api/endpoint.js'
import { type AnsweredRoute, type Described, describedPath } from '../../../http/api/routes.js'
import { type Exchange, hasBody, isOnOwnPort } from '../../../http/exchange/exchange.js'
import { json, type Operation } from '../../../http/openapi/operation.js'
import { charsetProblemOf, type EndpointParts, error } from '../endpoint-parts.js'
import { ProblemError } from '../failures.js'
import type { LongList } from '../long-lists.js'
import { answerAllowed, readSmallBody, TimeLeft } from '../look-up.js'
import { charsetOf, JSON_TYPE } from '../media-types.js'
import { BodyError } from '../record-bytes.js'
import type { ConfluentSettings } from '../settings.js'
import { baseUrlOf, type Kind, Links, listOf, type Resource, text } from './resources.js'

/** A route of version 3: what OpenAPI says about it, and what answers it. */
export type V3Route = AnsweredRoute<V3Requests>

/** A request about the cluster of its path, which has its permission. */
export interface Ask {
  readonly exchange: Exchange
  readonly params: Params
  readonly caller: Caller
  readonly gateway: Gateway
  readonly links: Links
  readonly time: TimeLeft
  /** Asks Kafka for the brokers and the controller. */
  describe(): Promise<ClusterDescription>
}

/** The answer to a change; `undefined`: 204. */
export interface Changed {
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
  consumer_id: text.describe('The id of the member'),
  name: text
}
export const CLUSTER = '/v3/clusters/{cluster_id}'

/** What a path is about: a group with its topics, or a topic. */
const targetOf = ({ consumer_group_id: group, topic_name: topic }: Params): Target =>
  group === undefined ? { topic } : { group }

function read(
  path: string,
  summary: string,
  schema: z.ZodType,
  permission: Permission,
  work: (ask: Ask) => Promise<Resource | LongList>
): V3Route {
  const answers = { 200: { description: summary, content: json(schema) }, ...refusals }
  return {
    method: 'get',
    ...describedPath(path, PARAMS),
    summary,
    answers,
    receive: (requests, exchange, params) => requests.answer(exchange, params, permission, targetOf(params), work)
  }
}

/** A route that reads one resource. */
export const one = <One>(
  path: string,
  summary: string,
  kind: Kind<One>,
  find: (ask: Ask) => Promise<One>,
  permission: Permission = 'admin'
): V3Route => read(path, summary, kind.schema, permission, async ask => kind.json(await find(ask), ask.links))

/** A route that reads a list of resources. */
export const list = <One>(
  path: string,
  summary: string,
  kind: Kind<One>,
  all: (ask: Ask) => Promise<Iterable<One> | AsyncIterable<One>>,
  permission: Permission = 'admin'
): V3Route =>
  read(path, summary, listOf(kind.schema), permission, async ask =>
    ask.links.list(kind, path, ask.params, await all(ask))
  )

interface Change<Body> {
  readonly method: Described['method']
  readonly path: string
  readonly summary: string
  readonly body?: readonly [description: string, schema: z.ZodType<Body>]
  /** Default: 204. */
  readonly answers?: Operation['answers']
  /** Absent: whether the client may do it depends on the body. */
  readonly permission?: Permission
  /** What the permission is for. Default: what the path is about, before the body is read. */
  readonly targetOf?: (body: Body) => Target
}

/** A route that changes something. */
export function change<Body = undefined>(
  { method, path, summary, body, answers = done, permission, targetOf: targetIn }: Change<Body>,
  work: (ask: Ask, body: Body) => Promise<Changed | undefined>
): V3Route {
  return {
    method,
    ...describedPath(path, PARAMS),
    summary,
    ...(body && { body: { description: body[0], content: json(body[1]) } }),
    answers: { ...refusalsOfChange, ...answers },
    receive(requests, exchange, params) {
      const isEarly = targetIn === undefined
      if (!requests.admits(exchange, isEarly ? permission : undefined, targetOf(params))) return
      const make = (sent: Body): void => {
        const { answers } = requests.parts
        const answer = async (ask: Ask): Promise<Resource | undefined> => {
          const { status = 200, headers = {}, body: json } = (await work(ask, sent)) ?? {}
          if (json === undefined) answers.noContent(exchange)
          else if (status === 200) return json
          else answers.send(exchange, status, JSON_TYPE, JSON.stringify(json), { headers })
          return undefined
        }
        if (isEarly) requests.work(exchange, params, answer)
        else requests.answer(exchange, params, permission!, targetIn(sent), answer)
      }
      if (body === undefined) make(undefined as Body)
      else requests.read(exchange, body[1], make)
    }
  }
}

export interface V3Options {
  /** Of a whole request. */
  readonly timeoutMs: number
  readonly clock: MonotonicClock
  /** Of the API on the shared port. */
  readonly prefix: string
  readonly administration: ConfluentSettings['administration']
}

/** The Router has not noticed it yet, so the id in links would be that of the former cluster. */
const OTHER_CLUSTER = {
  status: 500,
  code: 50003,
  message: 'another Kafka cluster answers at the same addresses; a later attempt reads it'
}

/** How requests about the cluster are answered: permission, body, then the cluster of the path, then the work. */
export class V3Requests {
  readonly parts: EndpointParts
  readonly #gateway: Gateway
  readonly #options: V3Options

  constructor(gateway: Gateway, options: V3Options, parts: EndpointParts) {
    this.#gateway = gateway
    this.parts = parts
    this.#options = options
  }

  /** Asks for permission, and does the work. */
  answer(
    exchange: Exchange,
    params: Params,
    permission: Permission,
    target: Target,
    work: (ask: Ask) => Promise<Resource | LongList | undefined>
  ): void {
    const refusal = this.parts.access.callerOf(exchange.request).refusalOf(permission, target)
    if (refusal === undefined) this.work(exchange, params, work)
    else this.parts.answers.refuse(exchange, refusal, true)
  }

  /** @param work `undefined` as its result: it has answered by itself */
  work(exchange: Exchange, params: Params, work: (ask: Ask) => Promise<Resource | LongList | undefined>): void {
    const { cluster_id: asked, topic_name: topic } = params
    answerAllowed(this.parts, exchange, 'v3', topic, async () => {
      const { timeoutMs, clock, prefix } = this.#options
      const gateway = this.#gateway
      const time = new TimeLeft(timeoutMs, clock)
      const clusterId = (await gateway.admin.clusterId(time.ms)) ?? asked ?? 'unknown'
      if (asked !== undefined && asked !== clusterId) throw notFound(`there is no cluster ${asked}`)
      const describe = async (): Promise<ClusterDescription> => {
        const description = await gateway.admin.describeCluster(time.ms)
        if ((description.clusterId ?? clusterId) !== clusterId) throw new ProblemError(OTHER_CLUSTER)
        return description
      }
      const links = new Links(baseUrlOf(exchange.request, prefix), clusterId)
      const caller = this.parts.access.callerOf(exchange.request)
      return work({ exchange, params, caller, gateway, links, time, describe })
    })
  }

  /**
   * Refuses a change where changes are off, or if the client may not make it. Where no rules say who may, only those may who
   * reach the API's own port. To be called before the body is read.
   */
  admits(exchange: Exchange, permission: Permission | undefined, target: Target): boolean {
    const { administration } = this.#options
    const caller = this.parts.access.callerOf(exchange.request)
    const isServed =
      administration !== 'off' && (isOnOwnPort(exchange) || administration === 'everywhere' || caller.isRuled)
    const refusal = isServed
      ? permission && caller.refusalOf(permission, target)
      : new ForbiddenError(
          'changes are off on this port; a rule of access or apis.confluent.administration allows them'
        )
    if (refusal !== undefined) this.parts.answers.refuse(exchange, refusal, !hasBody(exchange))
    return refusal === undefined
  }

  /** Reads the body of a change. @param use may throw a BodyError */
  read<Body>(exchange: Exchange, schema: z.ZodType<Body>, use: (body: Body) => void): void {
    const charset = charsetOf(exchange.request.headers['content-type'])
    // Without a body there is nothing whose type could be wrong.
    const problem = hasBody(exchange) ? charsetProblemOf(charset) : undefined
    if (problem !== undefined) {
      this.parts.answers.error(exchange, problem, { isRead: false })
      return
    }
    readSmallBody(this.parts, exchange, bytes => {
      const isLatin1 = charset === 'latin1'
      if (!isLatin1 && !isUtf8(bytes)) throw new BodyError(400, 'the body is not valid UTF-8')
      use(parsedBody(bytes.toString(isLatin1 ? 'latin1' : 'utf8'), schema))
    })
  }
}

/** @throws BodyError */
function parsedBody<Body>(text: string, schema: z.ZodType<Body>): Body {
  if (text === '') throw new BodyError(422, 'the body is empty')
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new BodyError(400, 'the body is not JSON')
  }
  const { data, error } = schema.safeParse(json)
  if (error === undefined) return data
  const [{ code, path, message }] = error.issues as [z.core.$ZodIssue]
  const status = code === 'unrecognized_keys' ? 422 : 400
  throw new BodyError(status, `${path.join('.') || 'the body'}: ${message}`)
}

export const notFound = (message: string): ProblemError => new ProblemError({ status: 404, code: 404, message })

/** The broker that the path names. @throws ProblemError when there is none */
export async function brokerOf({ describe, params: { broker_id: id } }: Ask): Promise<BrokerNode> {
  const found = (await describe()).brokers.find(({ nodeId }) => String(nodeId) === id)
  if (found === undefined) throw notFound(`there is no broker ${id}`)
  return found
}
