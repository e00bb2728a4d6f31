import { Shares } from '../../core/shares.js'
import { type ApiContext, type ApiPlugin, capacityWaitMsOf, MAX_LOOK_UPS } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { answerPreflights } from '../../http/api/by-hand.js'
import { bodyPool } from '../../http/api/endpoint.js'
import { LongLists } from '../../http/api/long-lists.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { servedRoutes, serveRoutes } from '../../http/api/routes.js'
import { type Exchange, isOnOwnPort } from '../../http/exchange/exchange.js'
import { TrustedProxies } from '../../http/exchange/trusted-proxies.js'
import { writtenOnce } from '../../http/openapi/operation.js'
import { InstanceRoutes } from '../instance-routes.js'
import { consumerApiOf } from './consumer-routes.js'
import { documentOf, strimziOperations } from './operations.js'
import { RecordsApi } from './produce.js'
import type { StrimziSettings } from './settings.js'
import { type BridgeParts, StrimziAnswers } from './strimzi-answers.js'

const NOT_FOUND = new ApiError(404, 'Not Found')
const NO_METHOD = new ApiError(405, 'Method Not Allowed')
const ALLOWED_HEADERS =
  'x-requested-with,x-forwarded-proto,x-forwarded-host,origin,content-type,content-length,accept,authorization,access-control-allow-origin,access-control-allow-methods,content-encoding'

/** Serves the API of Strimzi's bridge. */
export const strimziPlugin =
  (context: ApiContext<StrimziSettings>): ApiPlugin =>
  app => {
    const { access, lifetime, log, settings, version = '0' } = context
    const { corsMethods, durability, syncTimeoutMs: deadlineMs } = settings
    const answers = new StrimziAnswers(log)
    const lookUps = new Shares(MAX_LOOK_UPS, 'look-ups')
    const longLists = new LongLists(context.records)
    const parts: BridgeParts = { lookUps, longLists, pool: bodyPool(), access, answers }
    if (corsMethods !== undefined) answerPreflights(app, { methods: corsMethods.join(','), headers: ALLOWED_HEADERS })
    const { maxBodyBytes } = settings
    const capacityWaitMs = capacityWaitMsOf(context)
    const api = new RecordsApi('strimzi', answers, { partitioner: 'murmur2', deadlineMs, durability, capacityWaitMs })
    const produce = new ProduceRoute(api, context, maxBodyBytes).at(deadlineMs)
    const consumers = new InstanceRoutes(consumerApiOf(parts), context)
    lifetime.onDrain(async () => consumers.stop())
    const alone = writtenOnce(() => documentOf(version, '/'))
    const shared = writtenOnce(() => documentOf(version, app.prefix))
    const bridge = {
      parts,
      context,
      consumers,
      proxies: new TrustedProxies(context.trustedProxies),
      documentFor: (exchange: Exchange) => (isOnOwnPort(exchange) ? alone() : shared())
    }
    serveRoutes(app, servedRoutes(strimziOperations, bridge, produce), answers, NOT_FOUND, () => NO_METHOD)
  }
