import { z } from 'zod'
import { OverloadedError } from '../../core/errors.js'
import { parsedJson } from '../../core/json/parsed-json.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { admits, answerWork, type Params, seenBy, withBytes } from '../../http/api/endpoint.js'
import { type AnsweredRoute, operationsOf } from '../../http/api/routes.js'
import { type Exchange, noteWait } from '../../http/exchange/exchange.js'
import { PROBLEM_TYPE } from '../../http/exchange/modern-answers.js'
import { json, type Operation } from '../../http/openapi/operation.js'
import { groupOfWebhook, originOf, type WebhookDefinition } from '../../webhooks/definition.js'
import type { SkipResult } from '../../webhooks/webhook-desk.js'
import { requireNear, type WebhookParts, webhookOf } from './webhook-answers.js'
import { gatewayOf, gatewaySchema, namedShape, summaryOf, summarySchema } from './webhook-json.js'

interface Webhooks {
  readonly parts: WebhookParts
}

const MAX_BODY_BYTES = 1_024
const skipBody = z.strictObject({ partition: z.int().min(0), offset: z.int().min(0) })
const TOO_LARGE = new ApiError(413, `the body has more than ${MAX_BODY_BYTES} bytes`)

const text = z.string()
const params = { name: text.describe('The webhook') }
const silent = z.array(text).describe('gateways that have not answered within 2 s')
const problem = z.looseObject({ type: text, title: text, status: z.int(), detail: text.optional(), code: text })
const failure = (description: string) => ({ description, content: { [PROBLEM_TYPE]: problem } })

const refusals: Operation['answers'] = {
  401: failure('No credentials, or wrong ones'),
  403: failure('The client may not do this, or is on another machine and shows no credentials'),
  429: failure('A quota is used up, or it comes too soon'),
  500: failure('The request failed unexpectedly'),
  503: failure('Overloaded, or shutting down')
}
const NO_SUCH = { 404: failure('There is no such webhook') }

const namesOf = (one: WebhookDefinition) => {
  const { name, cluster, topic } = one
  return { name, cluster, topic, group: groupOfWebhook(name), url: originOf(one) }
}

const routes: Readonly<Record<string, AnsweredRoute<Webhooks>>> = {
  list: {
    verb: 'webhooks.list',
    method: 'get',
    path: '/',
    summary: 'The webhooks of this gateway, and how they are at each',
    description: 'Those are left out whose offsets the client may not read.',
    answers: {
      200: {
        description: 'All webhooks',
        content: json(
          z.object({ webhooks: z.array(z.object({ ...namedShape, gateways: z.array(summarySchema) })), silent })
        )
      }
    },
    receive: ({ parts }, exchange) => list(parts, exchange)
  },
  describe: {
    verb: 'webhooks.describe',
    method: 'get',
    path: '/{name}',
    params,
    summary: 'What a webhook does at each gateway, with its lag, open records and last attempts',
    answers: {
      200: {
        description: 'The webhook',
        content: json(
          z.object({
            ...namedShape,
            lag: z.int().nullable().describe('records behind the ends of the partitions; null: Kafka does not tell'),
            gateways: z.array(gatewaySchema),
            silent
          })
        )
      },
      ...NO_SUCH
    },
    receive: ({ parts }, exchange, params) => describe(parts, exchange, params)
  },
  skip: {
    verb: 'webhooks.skip',
    method: 'post',
    path: '/{name}/skip',
    params,
    summary: 'Settles an open record without a delivery; it becomes a dead letter where a topic for them is named',
    body: { description: 'The record', content: json(skipBody), required: true },
    answers: {
      200: { description: 'It is settled', content: json(z.object({ skipped: z.literal(true) })) },
      ...NO_SUCH,
      400: failure('The body names no record'),
      409: failure('No gateway has this record at hand'),
      413: failure('The body is too large'),
      502: failure('No dead letter was written; the record is open')
    },
    receive: ({ parts }, exchange, params) => skip(parts, exchange, params)
  },
  test: {
    verb: 'webhooks.test',
    method: 'post',
    path: '/{name}/test',
    params,
    summary: 'Sends an empty signed request to the endpoint',
    description: 'At most one a second. Its `webhook-id` begins with `test-`, and it has `x-castellan-test: true`.',
    answers: {
      200: {
        description: 'What became of it',
        content: json(
          z.object({
            id: text,
            status: z.int().optional().describe('of the answer'),
            cause: text.optional().describe('why there is no answer: refused, cut, late, tls, name, address'),
            message: text.optional(),
            ms: z.int()
          })
        )
      },
      ...NO_SUCH
    },
    receive: ({ parts }, exchange, params) => test(parts, exchange, params)
  },
  resume: {
    verb: 'webhooks.resume',
    method: 'post',
    path: '/{name}/resume',
    params,
    summary: 'Goes on after the endpoint has answered 410, or asked for a pause, at all gateways',
    answers: {
      200: {
        description: 'It goes on',
        content: json(z.object({ resumed: z.boolean().describe('false: it was neither gone nor pausing'), silent }))
      },
      ...NO_SUCH
    },
    receive: ({ parts }, exchange, params) => resume(parts, exchange, params)
  }
}

function list(parts: WebhookParts, exchange: Exchange): void {
  requireNear(parts, exchange)
  if (!admits(parts, exchange, 'webhooks.list', {})) return
  const isSeen = seenBy(parts.access.callerOf(exchange.request), 'webhooks.list', 'topic+group')
  const { webhooks, answers } = parts
  answerWork(parts, exchange, async () => {
    const { told, silent } = await webhooks.status()
    const seen = webhooks.defined
      .map(namesOf)
      .filter(({ topic, group }) => isSeen({ topic, group }))
      .map(named => ({
        ...named,
        gateways: told.filter(({ status }) => status.name === named.name).map(summaryOf)
      }))
    answers.ok(exchange, { webhooks: seen, silent })
  })
}

function describe(parts: WebhookParts, exchange: Exchange, params: Params): void {
  const definition = webhookOf(parts, exchange, 'webhooks.describe', params)
  const named = namesOf(definition)
  const { topic, group } = named
  const showsKeys = parts.access.callerOf(exchange.request).allows('consume', { topic, group })
  answerWork(parts, exchange, async () => {
    const [{ told, silent }, lag] = await Promise.all([
      parts.webhooks.status(definition.name),
      lagOf(parts, definition)
    ])
    const gateways = told.map(one => gatewayOf(one, showsKeys))
    parts.answers.ok(exchange, { ...named, lag, gateways, silent })
  })
}

/** @returns null: Kafka does not tell it */
async function lagOf(
  { verbsByCluster }: WebhookParts,
  { name, cluster, topic }: WebhookDefinition
): Promise<number | null> {
  try {
    const offsets = await verbsByCluster.get(cluster)?.groups.offsets(groupOfWebhook(name), topic, LOOK_UP_TIMEOUT_MS)
    if (offsets === undefined) return null
    const behind = offsets.map(({ committed, earliest, latest }) => latest - (committed?.offset ?? earliest))
    return behind.reduce((sum, one) => sum + Math.max(0, one), 0)
  } catch {
    return null
  }
}

function skip(parts: WebhookParts, exchange: Exchange, params: Params): void {
  const { name } = webhookOf(parts, exchange, 'webhooks.skip', params)
  withBytes(parts, exchange, MAX_BODY_BYTES, TOO_LARGE, bytes => {
    const { partition, offset } = recordIn(bytes)
    answerWork(parts, exchange, async () => {
      const { result, silent } = await parts.webhooks.skip(name, partition, offset)
      refuseUnskipped(result, silent)
      const { principal } = parts.access.callerOf(exchange.request)
      const { requestId } = exchange
      parts.log.info(
        { webhook: name, partition, offset, principal, requestId },
        `a record of webhook ${name} was skipped by a client`
      )
      parts.answers.ok(exchange, { skipped: true })
    })
  })
}

/** @throws ApiError */
function recordIn(bytes: Buffer): z.output<typeof skipBody> {
  try {
    return skipBody.parse(parsedJson(bytes))
  } catch (error) {
    if (error instanceof OverloadedError) throw error
    throw new ApiError(400, 'the body is the record to skip, such as {"partition":0,"offset":17}')
  }
}

/** @throws ApiError unless the record was skipped */
function refuseUnskipped(result: SkipResult, silent: readonly string[]): void {
  if (result.type === 'skipped') return
  if (result.type === 'notWritten')
    throw new ApiError(502, `no dead letter was written, and the record is open: ${result.message}`)
  const unasked = silent.length === 0 ? '' : `; not all have answered: ${silent.join(', ')}`
  throw new ApiError(409, `no gateway has this record at hand: it is done, or was not read yet${unasked}`, {
    members: { silent }
  })
}

function test(parts: WebhookParts, exchange: Exchange, params: Params): void {
  const { name, timeoutMs } = webhookOf(parts, exchange, 'webhooks.test', params)
  noteWait(exchange.request, timeoutMs)
  answerWork(parts, exchange, async () => {
    const result = await parts.webhooks.test(name)
    if (result.type === 'unknownWebhook') throw new ApiError(503, 'the webhook begins, or ends, just now')
    if (result.type === 'tooSoon') {
      const headers = { 'retry-after': String(Math.max(1, Math.ceil(result.retryAfterMs / 1_000))) }
      throw new ApiError(429, 'a webhook can be tested once a second', { headers })
    }
    const { id, answer, ms } = result
    const told = answer.kind === 'status' ? { status: answer.status } : { cause: answer.kind, message: answer.message }
    parts.answers.ok(exchange, { id, ...told, ms: Math.round(ms) })
  })
}

function resume(parts: WebhookParts, exchange: Exchange, params: Params): void {
  const { name } = webhookOf(parts, exchange, 'webhooks.resume', params)
  answerWork(parts, exchange, async () => {
    const { result, silent } = await parts.webhooks.resume(name)
    parts.answers.ok(exchange, { resumed: result.type === 'resumed', silent })
  })
}

/** The routes with their ids, and as operations for `/openapi.json`. */
export const webhooksOperations = operationsOf(routes, () => refusals)
