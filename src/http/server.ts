import type { IncomingMessage, ServerResponse } from 'node:http'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Config } from '../config/config.js'
import { OverloadedError } from '../errors.js'
import type { PrometheusMetrics } from '../metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../model.js'
import { BodyBudget, CountedBody } from './body-budget.js'
import { HttpMetrics } from './http-metrics.js'
import { REQUEST_ID_HEADER, requestIds } from './request-ids.js'
import { RequestLog } from './request-log.js'

/** Long enough for the longest legal topic name with every byte percent-encoded (3 x 249). */
const MAX_PARAM_LENGTH = 1_024

/** What all servers of the process share. */
export interface HttpContext {
  readonly settings: Config['http']
  readonly metrics: HttpMetrics
  readonly budget: BodyBudget
  readonly requestLog: RequestLog
  readonly nextRequestId: (request: IncomingMessage) => string
  readonly now: MonotonicClock
  /** True once no new request may begin. */
  isDraining: boolean
}

export function createHttpContext(options: {
  readonly http: Config['http']
  readonly metrics: PrometheusMetrics
  readonly log: Logger
  readonly now: MonotonicClock
  readonly idPrefix: string
}): HttpContext {
  const { http, log, now } = options
  const metrics = new HttpMetrics(options.metrics)
  return {
    settings: http,
    metrics,
    budget: new BodyBudget(http.maxBodiesInFlightBytes, metrics.bodiesInFlightBytes),
    requestLog: new RequestLog(log, http.slowRequestMs, now),
    nextRequestId: requestIds(options.idPrefix),
    now,
    isDraining: false
  }
}

/**
 * A Fastify instance that names, counts, bounds and logs requests; it does not listen by itself. Refusals (draining, too
 * many bytes in flight) are errors in the hooks, so the error handler of the dialect that was asked words the answer.
 */
export function createHttpServer(context: HttpContext): FastifyInstance {
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
    const error = admit(context, request, reply.raw)
    done(error)
  })
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (request.headers['transfer-encoding'] === undefined) {
      done(null, payload)
      return
    }
    const counted = new CountedBody(context.budget)
    payload.once('error', error => counted.destroy(error))
    payload.once('aborted', () => counted.destroy(new Error('the client left in the middle of its request')))
    reply.raw.once('close', () => {
      counted.destroy()
      context.budget.give(counted.takenBytes)
    })
    done(null, payload.pipe(counted))
  })
  return app
}

/** Counts a request in, or says why it may not begin. */
function admit(context: HttpContext, request: FastifyRequest, response: ServerResponse): OverloadedError | undefined {
  const announcedBytes = announcedBodyBytes(request, context.settings.maxBodyBytes)
  if (context.isDraining) {
    follow(context, request, response, 0)
    return new OverloadedError('the gateway is shutting down', 'shuttingDown')
  }
  const fits = announcedBytes === 0 || context.budget.take(announcedBytes)
  follow(context, request, response, fits ? announcedBytes : 0)
  return fits ? undefined : context.budget.error
}

/** What is beyond the limit is refused by its length and never read. */
function announcedBodyBytes({ headers }: FastifyRequest, maxBodyBytes: number): number {
  const length = headers['content-length']
  return length === undefined ? 0 : Math.min(Number(length), maxBodyBytes)
}

/** One closure per request: everything that has to be done when it has ended. */
function follow(context: HttpContext, request: FastifyRequest, response: ServerResponse, takenBytes: number): void {
  const { metrics, budget, now } = context
  const startedAt = now()
  metrics.requestsInFlight.value++
  // Comes once by itself; `once` would wrap the listener for every request.
  response.on('close', () => {
    metrics.requestsInFlight.value--
    if (takenBytes > 0) budget.give(takenBytes)
    const durationMs = now() - startedAt
    const status = response.writableFinished ? response.statusCode : 'aborted'
    metrics.answered(mountOf(request), request.method, status, durationMs)
    if (status !== 'aborted' && context.requestLog.wants(status, durationMs)) {
      const { id: requestId, method, routeOptions } = request
      context.requestLog.answered({ requestId, method, route: routeOptions.url, status, durationMs })
    }
  })
}

/** The dialect a request was routed to; {@link mount} leaves the name on the requests of its scope. */
const mountOf = (request: FastifyRequest): string => (request as { mountName?: string }).mountName ?? 'none'

/** Marks all requests of a scope as belonging to a dialect. */
export const nameMount = (scope: FastifyInstance, name: string): void => {
  scope.decorateRequest('mountName', name)
}
