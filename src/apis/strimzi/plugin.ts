import { isAmong, networksIn } from '../../core/networks.js'
import { Shares } from '../../core/shares.js'
import { type ApiContext, type ApiPlugin, capacityWaitMsOf } from '../../http/api/api.js'
import { byHand } from '../../http/api/by-hand.js'
import { admits, admitsRuled, fail, type Receive } from '../../http/api/endpoint.js'
import { answerPreflights } from '../../http/api/preflight.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { type Route, serveRoutes } from '../../http/api/routes.js'
import { type Exchange, hasBody, isOnOwnPort } from '../../http/exchange/exchange.js'
import { type JsonSchema, toDocument, writtenOnce } from '../../http/openapi/operation.js'
import { consumerRoutes } from './consumers-endpoint.js'
import { type OperationId, strimziOperations, TAGS } from './operations.js'
import { RecordsApi } from './produce.js'
import type { StrimziSettings } from './settings.js'
import { bodyPool, type EndpointParts, StrimziAnswers } from './strimzi-answers.js'
import { topicRoutes } from './topics-endpoint.js'

/** Requests to Kafka that are open at the same time; one client has about half of them. */
const MAX_LOOK_UPS = 200

const NOT_FOUND = { status: 404, message: 'Not Found' }
const NO_METHOD = { status: 405, message: 'Method Not Allowed' }
const BROKEN = { status: 500, message: 'internal error' }
const ALLOWED_HEADERS =
  'x-requested-with,x-forwarded-proto,x-forwarded-host,origin,content-type,content-length,accept,authorization,access-control-allow-origin,access-control-allow-methods,content-encoding'

/** Serves the API of Strimzi's bridge: `operations.ts` has its routes, `receiversOf` the handler of each. */
export const strimziPlugin =
  (context: ApiContext<StrimziSettings>): ApiPlugin =>
  app => {
    const { access, log, now, settings } = context
    const { corsMethods } = settings
    const answers = new StrimziAnswers(now)
    const broken = (exchange: Exchange, error: unknown): void => {
      log.error({ err: error, requestId: exchange.requestId }, "a request of Strimzi's API failed unexpectedly")
      answers.problem(exchange, BROKEN)
    }
    const parts: EndpointParts = { lookUps: new Shares(MAX_LOOK_UPS), pool: bodyPool(), access, answers, broken }
    if (corsMethods !== undefined) answerPreflights(app, { methods: corsMethods.join(','), headers: ALLOWED_HEADERS })
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const receivers = receiversOf(context, parts, app.prefix)
    const { durability, syncTimeoutMs: deadlineMs } = settings
    const capacityWaitMs = capacityWaitMsOf(context)
    const api = new RecordsApi({ partitioner: 'murmur2', deadlineMs, durability, capacityWaitMs })
    const produce = new ProduceRoute(api, context, maxBodyBytes).at(deadlineMs)
    const routes = strimziOperations.map(
      ({ id, method, path }): Route => ({
        method,
        path,
        ...(id === 'send' || id === 'sendToPartition' ? produce : { preParsing: byHand(receivers[id]) })
      })
    )
    serveRoutes(app, routes, {
      refuse: (asked, error) => answers.refuse(asked, error),
      unknown: exchange => answers.problem(exchange, NOT_FOUND, { isRead: !hasBody(exchange) }),
      notAllowed: (exchange, allow) =>
        answers.problem(exchange, NO_METHOD, { isRead: !hasBody(exchange), headers: { allow } })
    })
  }

function receiversOf(
  context: ApiContext<StrimziSettings>,
  parts: EndpointParts,
  prefix: string
): Readonly<Record<Exclude<OperationId, 'send' | 'sendToPartition'>, Receive>> {
  const { gateway, settings, metrics, everywhere, lifetime, undecodable, version = '0' } = context
  const { answers } = parts
  const trusted = networksIn(context.trustedProxies ?? [])
  const isTrustedProxy = (address: string): boolean => address !== '' && isAmong(trusted, address)
  const consumers = consumerRoutes(parts, gateway, { settings, isTrustedProxy, undecodable })
  lifetime.onDrain(async () => consumers.stop())
  const alone = writtenOnce(() => documentOf(version, '/'))
  const shared = writtenOnce(() => documentOf(version, prefix))
  const openapi: Receive = exchange => {
    if (admitsRuled(parts, exchange))
      answers.send(exchange, 200, isOnOwnPort(exchange) ? alone() : shared(), { type: 'application/json' })
  }
  return {
    ...topicRoutes(parts, gateway),
    ...consumers.receivers,
    healthy: exchange => answers.send(exchange, 200, ''),
    ready: exchange => {
      if (gateway.isReady) answers.send(exchange, 200, '')
      else answers.problem(exchange, { status: 500, message: 'no broker answers' })
    },
    openapi,
    openapiv3: openapi,
    metrics: exchange => {
      if (!admits(parts, exchange, 'management', {})) return
      if (everywhere !== undefined) {
        const message = 'several processes serve; the management port has the metrics of all of them'
        answers.problem(exchange, { status: 404, message })
        return
      }
      const { registry } = metrics
      const answer = async (): Promise<void> =>
        answers.send(exchange, 200, await registry.metrics(), { type: registry.contentType })
      answer().catch(error => fail(parts, exchange, error))
    },
    info: exchange => {
      if (admitsRuled(parts, exchange))
        answers.send(exchange, 200, JSON.stringify({ bridge_version: version }), { type: 'application/json' })
    }
  }
}

/** The operations under the ids, and with the names of schemas, that the bridge has published. */
function documentOf(version: string, url: string): JsonSchema {
  const document = toDocument("Strimzi's API of Castellan", version, [
    { name: 'strimzi', prefix: '', operations: strimziOperations }
  ])
  const paths = document.paths as Readonly<Record<string, Readonly<Record<string, object>>>>
  const ids = new Map(strimziOperations.map(({ id, method, path }) => [`${method} ${path}`, id]))
  const schemas: Record<string, unknown> = {}
  const named = Object.entries(paths).map(([path, methods]) => {
    const all = Object.entries(methods).map(([method, operation]) => {
      const id = ids.get(`${method} ${path}`)!
      return [method, { ...(refer(operation, schemas) as object), operationId: id, tags: TAGS[id] }]
    })
    return [path, Object.fromEntries(all)]
  })
  const components = { ...(document.components as object), schemas }
  const tags = [...new Set(Object.values(TAGS).flat())].map(name => ({ name }))
  return { ...document, servers: [{ url }], tags, paths: Object.fromEntries(named), components }
}

/** Puts each schema that has a title among the others, and refers to it instead. */
function refer(node: unknown, schemas: Record<string, unknown>): unknown {
  if (Array.isArray(node)) return node.map(one => refer(one, schemas))
  if (typeof node !== 'object' || node === null) return node
  const { title, ...members } = node as Readonly<Record<string, unknown>>
  const own = Object.fromEntries(Object.entries(members).map(([name, member]) => [name, refer(member, schemas)]))
  if (typeof title !== 'string') return title === undefined ? own : { title: refer(title, schemas), ...own }
  schemas[title] ??= own
  return { $ref: `#/components/schemas/${title}` }
}
