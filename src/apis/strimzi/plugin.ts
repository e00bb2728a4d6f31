import { isAmong, networksIn } from '../../core/networks.js'
import { Shares } from '../../core/shares.js'
import { type ApiContext, type ApiPlugin, capacityWaitMsOf } from '../../http/api/api.js'
import { answerPreflights } from '../../http/api/by-hand.js'
import { bodyPool } from '../../http/api/endpoint.js'
import { InstanceRoutes } from '../../http/api/instance-routes.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { servedRoutes, serveRoutes } from '../../http/api/routes.js'
import { type Exchange, hasBody, isOnOwnPort } from '../../http/exchange/exchange.js'
import { writtenOnce } from '../../http/openapi/operation.js'
import { consumerApiOf } from './consumer-routes.js'
import { documentOf, strimziOperations } from './operations.js'
import { RecordsApi } from './produce.js'
import type { StrimziSettings } from './settings.js'
import { type BridgeParts, StrimziAnswers } from './strimzi-answers.js'

/** Requests to Kafka that are open at the same time; one client has about half of them. */
const MAX_LOOK_UPS = 200

const NOT_FOUND = { status: 404, message: 'Not Found' }
const NO_METHOD = { status: 405, message: 'Method Not Allowed' }
const BROKEN = { status: 500, message: 'internal error' }
const ALLOWED_HEADERS =
  'x-requested-with,x-forwarded-proto,x-forwarded-host,origin,content-type,content-length,accept,authorization,access-control-allow-origin,access-control-allow-methods,content-encoding'

/** Serves the API of Strimzi's bridge. */
export const strimziPlugin =
  (context: ApiContext<StrimziSettings>): ApiPlugin =>
  app => {
    const { access, gateway, lifetime, log, now, settings, undecodable, version = '0' } = context
    const { corsMethods, durability, syncTimeoutMs: deadlineMs } = settings
    const answers = new StrimziAnswers(now)
    const broken = (exchange: Exchange, error: unknown): void => {
      log.error({ err: error, requestId: exchange.requestId }, "a request of Strimzi's API failed unexpectedly")
      answers.problem(exchange, BROKEN)
    }
    const parts: BridgeParts = { lookUps: new Shares(MAX_LOOK_UPS), pool: bodyPool(), access, answers, broken }
    if (corsMethods !== undefined) answerPreflights(app, { methods: corsMethods.join(','), headers: ALLOWED_HEADERS })
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const api = new RecordsApi({
      partitioner: 'murmur2',
      deadlineMs,
      durability,
      capacityWaitMs: capacityWaitMsOf(context)
    })
    const produce = new ProduceRoute(api, context, maxBodyBytes).at(deadlineMs)
    const consumerApi = consumerApiOf(parts)
    const consumers = new InstanceRoutes(consumerApi, gateway, access, undecodable)
    lifetime.onDrain(async () => consumers.stop())
    const trusted = networksIn(context.trustedProxies ?? [])
    const alone = writtenOnce(() => documentOf(version, '/'))
    const shared = writtenOnce(() => documentOf(version, app.prefix))
    const bridge = {
      parts,
      context,
      consumers,
      consumerApi,
      isTrustedProxy: (address: string) => address !== '' && isAmong(trusted, address),
      documentFor: (exchange: Exchange) => (isOnOwnPort(exchange) ? alone() : shared())
    }
    serveRoutes(app, servedRoutes(strimziOperations, bridge, produce), {
      refuse: (asked, error) => answers.refuse(asked, error),
      unknown: exchange => answers.problem(exchange, NOT_FOUND, { isRead: !hasBody(exchange) }),
      notAllowed: (exchange, allow) =>
        answers.problem(exchange, NO_METHOD, { isRead: !hasBody(exchange), headers: { allow } })
    })
  }
