import type { RequestListener, ServerResponse } from 'node:http'
import fastify, { type FastifyInstance, type FastifyRequest, type onSendHookHandler } from 'fastify'
import { type CastellanError, type ErrorCode, OverloadedError } from '../../core/errors.js'
import type { RequestSpan, Tracing } from '../../core/tracing/tracing.js'
import { preflightOf, routeNameOf } from '../api/by-hand.js'
import { type EngineRequest, engineRequest } from '../engine/request.js'
import { failureCodeOf } from '../exchange/answers.js'
import { compressAnswer, isCompressible, varyOf } from '../exchange/compressed-answer.js'
import { askedWaitOf, heldOf, keepSentUrl, keepTrace } from '../exchange/exchange.js'
import type { AnswerBody } from '../exchange/pieced-body.js'
import { addAccessHooks, answerRefusal } from './access-hooks.js'
import type { HttpContext } from './context.js'
import { type Cors, isPreflight } from './cors.js'
import { REQUEST_ID_HEADER } from './request-log.js'

/** Longer than any URL: Fastify's router would answer longer ones itself, before any hook. */
const MAX_PARAM_LENGTH = 2 ** 24

const PROBES: readonly (string | undefined)[] = ['/health-check', '/ready', '/ready/kafka']

export const isProbe = (route: string | undefined): boolean => PROBES.includes(route)

/**
 * A Fastify instance that names, counts, limits and logs requests; it does not listen by itself. Refusals (draining, a
 * web page of another site, too many requests of an address, no or wrong credentials) are errors in the hooks, so the
 * error handler of the API words the answer. A body for which there is no memory becomes an error of its stream.
 *
 * @param isOpen exempts requests from the access checks
 * @param cors lets web pages of other sites read answers
 */
export function createHttpServer(
  context: HttpContext,
  isOpen: (request: FastifyRequest) => boolean = () => false,
  cors?: Cors
): FastifyInstance {
  const app = fastify({
    genReqId: context.nextRequestId,
    bodyLimit: context.http.maxBodyBytes,
    // Modules of APIs are loaded meanwhile: on a machine without a free core that took more than Fastify's 10 s.
    pluginTimeout: 0,
    // Each API answers in its own words while the process stops.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // No route has a schema for Fastify, which would load a hundred files to compile it.
    schemaController: { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } }
  })
  // Fastify would read and parse the bodies of unknown paths, and refuse some of them instead of answering 404.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onRequest', (request, reply, done) => {
    reply.header(REQUEST_ID_HEADER, request.id)
    const { isOwed } = engineRequest(request.raw)
    if (context.isDraining && !isOwed) reply.header('connection', 'close')
    else if (context.isLeaving && !isOwed) reply.raw.shouldKeepAlive = false
    const isOfPage = cors?.mark(request.headers, reply.raw)
    const error = admit(context, request, reply.raw)
    if (isOfPage && !error && isPreflight(request.method, request.headers)) {
      cors!.answerPreflight(request.headers, reply.raw, preflightOf(request))
      void reply.code(204).send()
    } else done(error)
  })
  if (context.requestAccess) addAccessHooks(app, context.requestAccess, isOpen, context.isExempt === true)
  app.addHook('onSend', sendCompressed)
  app.setErrorHandler(answerRefusal)
  return app
}

const noSchema = (): never => {
  throw new Error('routes have no schemas')
}

const sendCompressed: onSendHookHandler = ({ raw }, reply, payload, done) => {
  const type = reply.getHeader('content-type') as string | undefined
  const body = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : ''
  if (reply.hasHeader('content-encoding') || !isCompressible(type, body.length)) {
    done(null, payload)
    return
  }
  reply.header('vary', varyOf(reply.raw))
  const send = (body: AnswerBody, coding?: string): void => {
    if (coding !== undefined) reply.header('content-encoding', coding).removeHeader('content-length')
    done(null, body)
  }
  if (!compressAnswer(raw, body, send)) send(body)
}

/** Counts a request as in flight, or returns the error when it may not begin. */
function admit(context: HttpContext, request: FastifyRequest, response: ServerResponse): CastellanError | undefined {
  const received = engineRequest(request.raw)
  follow(context, request, received, response)
  const refusal = refusalOf(context, request, received)
  if (refusal !== undefined) context.refusals.note(refusal)
  return refusal
}

export const shuttingDown = (): OverloadedError => new OverloadedError('the gateway is shutting down', 'shuttingDown')

function refusalOf(context: HttpContext, request: FastifyRequest, received: EngineRequest): CastellanError | undefined {
  if (context.isDraining && !received.isOwed) return shuttingDown()
  return (
    received.guard.refusalOf(received.headers, needsHost(context, request), request.routeOptions.url === '/') ??
    context.connections.requestRefusal(received) ??
    (bringsWork(request) ? context.shedder.refusal() : undefined)
  )
}

const needsHost = ({ needsHost }: HttpContext, request: FastifyRequest & { needsHost?: boolean }): boolean =>
  request.needsHost ?? needsHost?.(request) ?? false

/** Probes and metrics are never refused because of overload, and neither is a request without a body. */
const bringsWork = (request: FastifyRequest): boolean =>
  engineRequest(request.raw).hasBody && mountNameOf(request) !== 'none'

/** Logs and counts a request when it is over; an upgraded one when it is upgraded. */
function follow(
  context: HttpContext,
  request: FastifyRequest,
  received: EngineRequest,
  response: ServerResponse
): void {
  const { requests, silences, now } = context
  const startedAt = now()
  const span = context.tracing && beginSpan(context.tracing, request, received)
  requests.requestsInFlight.add(1)
  const silence = silences.size === 0 ? undefined : silences.get(mountNameOf(request))
  if (silence !== undefined) received.holder.silence = silence
  if (received.upgrade) {
    received.whenUpgraded(() => {
      requests.upgradedConnections.add(1)
      answered(context, request, 101, startedAt)
      span?.end(101)
    })
  }
  received.whenOver(() => {
    if (received.owner !== undefined) requests.upgradedConnections.release(1)
    else {
      const status = response.writableFinished ? response.statusCode : (received.refusedWith ?? 'aborted')
      const code = failureCodeOf(response)
      answered(context, request, status, startedAt, code)
      span?.end(status, code)
    }
  })
}

/** Begins the span of a request to an API. Probes, metrics and pages of the process have none. */
function beginSpan(tracing: Tracing, request: FastifyRequest, received: EngineRequest): RequestSpan | undefined {
  const api = mountNameOf(request)
  if (api === 'none') return undefined
  const { id: requestId, method } = request
  const span = tracing.request({
    method,
    route: routeNameOf(request),
    api,
    requestId,
    headers: received.headers,
    clientAddress: received.holder.address.key,
    protocolVersion: received.httpVersion,
    isTls: 'encrypted' in received.socket
  })
  keepTrace(received, span)
  return span
}

/** The least status of an answer that counts as a failure of this gateway or of Kafka. */
const FAILED = 500

function answered(
  { requests, requestLog, accessLog, refusals, now }: HttpContext,
  request: FastifyRequest,
  status: number | 'aborted',
  startedAt: number,
  code?: ErrorCode
): void {
  requests.requestsInFlight.release(1)
  const durationMs = now() - startedAt
  const api = mountNameOf(request)
  const { receivedAt } = engineRequest(request.raw)
  if (api !== 'none' && typeof status === 'number' && status >= FAILED) refusals.answered(api, status, code)
  requests.answered(api, request.method, status, durationMs, receivedAt && Math.max(0, receivedAt - startedAt))
  if (accessLog?.wants()) {
    const { id: requestId, method } = request
    const address = engineRequest(request.raw).holder.address.key
    accessLog.write({ requestId, address, api, method, route: routeNameOf(request), status, durationMs })
  }
  if (status !== 'aborted' && requestLog.wants(status, durationMs - askedWaitOf(request.raw) - heldOf(request.raw))) {
    const { id: requestId, method } = request
    const route = routeNameOf(request)
    // "Not ready" is a normal answer to a probe, not a failure.
    if (api === 'none' && isProbe(route)) return
    requestLog.answered({ requestId, method, route, status, durationMs, ...(code !== undefined && { err: { code } }) })
  }
}

/** The API a request was routed to; {@link nameMount} leaves the name on the requests of its scope. */
const mountNameOf = (request: FastifyRequest & { mountName?: string }): string => request.mountName ?? 'none'

export const nameMount = (scope: FastifyInstance, name: string): void => {
  scope.decorateRequest('mountName', name)
}

/** All requests of a scope need a known `Host`, whatever listener they come by. */
export const requireHost = (scope: FastifyInstance): void => {
  scope.decorateRequest('needsHost', true)
}

const TARGET = /^[a-z]+:\/\/(?:[^/?#]*@)?([^/?#]*)(.*)$/i

/**
 * Takes the host out of a target that has one. It counts instead of that in `Host`, for every check.
 *
 *   GET http://gateway:8080/push   =>   GET /push, Host: gateway:8080
 *
 * Source: RFC 9112, section 3.2.2.
 */
export const withHostOfTarget =
  (handler: RequestListener): RequestListener =>
  (request, response) => {
    const [, host, rest = ''] = request.url!.startsWith('/') ? [] : (TARGET.exec(request.url!) ?? [])
    if (host !== undefined) {
      request.headers.host = host
      request.url = rest.startsWith('/') ? rest : `/${rest}`
    }
    handler(request, response)
  }

/** The handler of a listener whose requests go to this Fastify instance. */
export const handlerOf =
  (app: FastifyInstance): RequestListener =>
  (request, response) => {
    const url = request.url!
    const routable = routableUrl(url)
    if (routable !== url) keepSentUrl(request, url)
    request.url = routable
    app.routing(request, response)
  }

/**
 * A URL whose path Fastify's router can decode. The router answers others itself before any hook runs: without
 * authentication, without counting, and not in the error format of the API. With its percent signs escaped, such a
 * path passes through the hooks; it matches no route but by parameters: `isEscaped` tells APIs that serve these.
 *
 *   /push       =>   /push
 *   /%zz?a=%b   =>   /%25zz?a=%b
 *   /push;%zz   =>   /push;%25zz
 */
export function routableUrl(url: string): string {
  if (!url.includes('%')) return url
  const [path] = /^[^?#]*/.exec(url)!
  return isDecodable(path) ? url : path.replaceAll('%', '%25') + url.slice(path.length)
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}
