import type { IncomingMessage, ServerResponse } from 'node:http'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Door } from '../access/door.js'
import type { Config } from '../config/config.js'
import { type CastellanError, OverloadedError } from '../errors.js'
import type { PrometheusMetrics } from '../metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../model.js'
import { BodyBudget } from './body-budget.js'
import { Connections } from './connections.js'
import { addDoor, answerRefusal } from './door-hooks.js'
import { HttpMetrics } from './http-metrics.js'
import type { ReceivedRequest } from './received-request.js'
import { REQUEST_ID_HEADER, requestIds } from './request-ids.js'
import { RequestLog } from './request-log.js'

/** Longer than any URL: what the router finds too long it would answer itself, in front of all hooks. */
const MAX_PARAM_LENGTH = 2 ** 24

/** What all servers of the process share. */
export interface HttpContext {
  readonly settings: Config['http']
  readonly metrics: HttpMetrics
  readonly connections: Connections
  readonly requestLog: RequestLog
  readonly nextRequestId: (request: IncomingMessage) => string
  readonly now: MonotonicClock
  /** `undefined`: everybody may come in. */
  readonly door: Door | undefined
  /** True once no new request may begin. */
  isDraining: boolean
  /** True once every answer ends its connection. */
  isLeaving: boolean
}

export function createHttpContext(options: {
  readonly http: Config['http']
  readonly metrics: PrometheusMetrics
  readonly log: Logger
  readonly now: MonotonicClock
  readonly idPrefix: string
  readonly door?: Door | undefined
}): HttpContext {
  const { http, log, now } = options
  const metrics = new HttpMetrics(options.metrics)
  return {
    settings: http,
    metrics,
    connections: createConnections(http, metrics, now),
    requestLog: new RequestLog(log, http.slowRequestMs, now),
    nextRequestId: requestIds(options.idPrefix),
    now,
    door: options.door,
    isDraining: false,
    isLeaving: false
  }
}

function createConnections(http: Config['http'], metrics: HttpMetrics, now: MonotonicClock): Connections {
  const budget = new BodyBudget(http.maxBodiesInFlightBytes, metrics.bodiesInFlightBytes)
  const pace = { minBytesPerSecond: http.minBodyBytesPerSecond, graceMs: http.bodyGraceMs }
  return new Connections({ ...http, pace }, budget, metrics.connections, now)
}

/**
 * A Fastify instance that names, counts, bounds and logs requests; it does not listen by itself. Refusals (draining, a
 * web page of others, too many requests of an address, nobody who is known) are errors in the hooks, so the error handler
 * of the dialect that was asked words the answer; those of a body that finds no room come as an error of its stream.
 *
 * @param isOpen requests that need not come through the door
 */
export function createHttpServer(
  context: HttpContext,
  isOpen: (request: FastifyRequest) => boolean = () => false
): FastifyInstance {
  const app = fastify({
    logger: false,
    requestIdHeader: false,
    genReqId: context.nextRequestId,
    bodyLimit: context.settings.maxBodyBytes,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH }
  })
  app.addHook('onRequest', (request, reply, done) => {
    reply.header(REQUEST_ID_HEADER, request.id)
    if (context.isDraining) reply.header('connection', 'close')
    else if (context.isLeaving) reply.raw.shouldKeepAlive = false
    const error = admit(context, request, reply.raw)
    done(error)
  })
  if (context.door) addDoor(app, context.door, isOpen)
  app.setErrorHandler(answerRefusal)
  return app
}

/** Counts a request in, or says why it may not begin. */
function admit(context: HttpContext, request: FastifyRequest, response: ServerResponse): CastellanError | undefined {
  const received = request.raw as ReceivedRequest
  follow(context, request, received, response)
  if (context.isDraining) return new OverloadedError('the gateway is shutting down', 'shuttingDown')
  return received.guard.refusalOf(received.headers) ?? context.connections.requestRefusal(received)
}

/** One closure per request: everything that has to be said when it is over. */
function follow(
  context: HttpContext,
  request: FastifyRequest,
  received: ReceivedRequest,
  response: ServerResponse
): void {
  const { metrics, now } = context
  const startedAt = now()
  metrics.requestsInFlight.value++
  received.whenOver(() => {
    metrics.requestsInFlight.value--
    const durationMs = now() - startedAt
    const status = response.writableFinished ? response.statusCode : 'aborted'
    metrics.answered(mountNameOf(request), request.method, status, durationMs)
    if (status !== 'aborted' && context.requestLog.wants(status, durationMs)) {
      const { id: requestId, method, routeOptions } = request
      context.requestLog.answered({ requestId, method, route: routeOptions.url, status, durationMs })
    }
  })
}

/** The dialect a request was routed to; {@link mount} leaves the name on the requests of its scope. */
const mountNameOf = (request: FastifyRequest): string => (request as { mountName?: string }).mountName ?? 'none'

/** Marks all requests of a scope as belonging to a dialect. */
export const nameMount = (scope: FastifyInstance, name: string): void => {
  scope.decorateRequest('mountName', name)
}
