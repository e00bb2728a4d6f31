import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, preParsingHookHandler, RequestPayload } from 'fastify'
import { CastellanError } from '../../core/errors.js'
import { atOnce } from '../../core/loop-turns.js'
import { refusalStatus } from '../access/access.js'
import { engineRequest } from '../engine/request.js'
import type { Admission } from '../exchange/admission.js'
import { sendAnswer } from '../exchange/answers.js'
import { type AcceptedRequest, AsyncAnswer } from '../exchange/async-answer.js'
import type { Exchange, Reply } from '../exchange/exchange.js'
import { outcomesAnswer, wantsModern } from '../exchange/modern-answers.js'

/**
 * A `preParsing` hook that takes requests from Fastify before their bodies are read. The routes that carry most of the
 * traffic use it, because it saves a parsed content type, an async resource, a serializer and copies:
 *
 *   app.post('/topics/:topic', { preParsing: byHand(receive) }, neverCalled)       one route
 *   app.addHook('preParsing', byHand(receive))                                      all routes of the scope,
 *                                                                                   also those that are answered 404
 *
 * Fastify does everything before the body as for other routes: routing, and the `onRequest` hooks, in which the process
 * refuses requests (access, quotas, web pages of others, draining). Those refusals come to the error handler of the
 * scope; `refusalStatus` and `refusalHeaders` of `access/` say how they are answered.
 *
 * `receive` does everything after, and must answer each request once, also when something throws:
 *
 *   - admission, where given, keeps requests waiting, unread, until there is memory for their records; a request that
 *     gets none in time comes to the error handler of the scope.
 *   - collectDecoded reads the body within a limit, undoes its content coding, and hands on its bytes, valid during that
 *     call only. Verbs.produce copies what it takes, so that no byte of a body has to be copied before.
 *   - sendAnswer writes the answer with the headers `x-request-id` and `x-castellan-persisted`. The hooks `onSend` do not
 *     run.
 *   - upgradeOf tells whether the client asks for another protocol on its connection.
 */
export const byHand = (
  receive: (exchange: Exchange, params: Readonly<Record<string, string>>) => void,
  admission?: Admission
): preParsingHookHandler => {
  const enter = (request: FastifyRequest, reply: FastifyReply, payload: RequestPayload): void => {
    reply.hijack()
    const held = engineRequest(request.raw)
    // The turn is kept until the body is read; by a request that produces, until its records are handed on.
    if (held.hasBody) held.keepTurn()
    const exchange = { request: held, response: reply.raw, payload, requestId: request.id }
    noteAsyncAnswer(exchange)
    receive(exchange, request.params as Record<string, string>)
  }
  return (request, reply, payload, done) => {
    const held = engineRequest(request.raw)
    // While the request waits, its connection is not read, and no later request begins.
    if (admission === undefined || admission.tryAdmit(held)) enter(request, reply, payload)
    else admission.admit(held, () => enter(request, reply, payload), done)
  }
}

/** Lets the request have an early answer, if its client prefers that. */
export function noteAsyncAnswer({ request, response, requestId }: Exchange): void {
  if (request.headers.prefer !== undefined)
    AsyncAnswer.note(request, response, (accepted, further) => sendEarly(response, requestId, accepted, further))
}

function sendEarly(
  response: ServerResponse,
  requestId: string,
  { id, records }: AcceptedRequest,
  further: Readonly<Record<string, string>>
): void {
  const headers = { ...further, location: `/receipts/${id}`, 'preference-applied': 'respond-async' }
  const { type, body } = wantsModern(response.req)
    ? atOnce(outcomesAnswer(Array.from({ length: records }, () => 'pending')))
    : { type: 'application/json', body: `${JSON.stringify({ receipt: id })}\n` }
  sendAnswer(response, 202, type, body, { requestId, persisted: 'pending' }, headers)
}

/**
 * The error handler of a scope whose requests {@link byHand} takes: it hands over requests that the process has refused
 * before they were read. Every other error goes on to the handler above.
 */
export const refusedBy =
  (refuse: (exchange: Reply, error: CastellanError) => void) =>
  (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    if (!(error instanceof CastellanError) || refusalStatus(error) === undefined) throw error
    reply.hijack()
    refuse({ response: reply.raw, requestId: request.id }, error)
  }

/** The handler of routes whose requests {@link byHand} or another hook takes: it is never called. */
export const neverCalled = (): void => {}

/**
 * Makes paths of a scope count as they were sent: Fastify's router decodes them first, and would find `/push` for `/%70ush`.
 *
 * @param answer to a request whose path is escaped
 */
export function answerEscaped(app: FastifyInstance, answer: (reply: FastifyReply) => void): void {
  app.setNotFoundHandler((_, reply) => answer(reply))
  app.addHook('onRequest', (request, reply, done) => {
    const url = request.raw.url!
    if (!url.includes('%') || !IS_ESCAPED.test(url)) done()
    else if (request.is404) answer(reply)
    else reply.callNotFound()
  })
}

const IS_ESCAPED = /^[^?#]*%/

/** A pattern such as `/arion/sync/:topic`, without values; `undefined`: the path is none of the API's. */
type NameOfRoute = (request: FastifyRequest) => string | undefined

/**
 * Names routes for the logs, for an API that finds routes by itself: Fastify then knows only a wildcard, or nothing.
 * `nameOf` is called when a line is written.
 *
 * @param nameOf without the prefix of the API
 */
export function nameRoutes(app: FastifyInstance, nameOf: NameOfRoute): void {
  const { prefix } = app
  const routeNameOf: NameOfRoute = request => {
    const name = nameOf(request)
    return name && prefix + name
  }
  app.decorateRequest('routeNameOf', routeNameOf)
}

/** The `config` of a route whose path the logs must not show, or whose requests need no credentials. */
export interface NamedRoute {
  readonly routeName?: string
  readonly isOpen?: boolean
}

/** A request with the route that Fastify has found for it. */
interface Routed {
  readonly routeOptions: { readonly url?: string | undefined; readonly config?: NamedRoute & { readonly url?: string } }
}

export const isOpenRoute = ({ routeOptions: { config } }: Routed): boolean => config?.isOpen === true

export const routeNameOf = (request: FastifyRequest & Routed & { routeNameOf?: NameOfRoute }): string | undefined => {
  const { url, config } = request.routeOptions
  return request.routeNameOf?.(request) ?? config?.routeName ?? url
}

/** An API's answer to browsers that ask whether a page may send a request. */
export interface PreflightAnswer {
  /** `GET,POST` */
  readonly methods: string
  /** Names of headers, separated by commas. */
  readonly headers: string
}

/** Answers all preflights of a scope alike. By default any usual method is named, and each header that is asked for. */
export function answerPreflights(scope: FastifyInstance, answer: PreflightAnswer): void {
  scope.decorateRequest('preflight', { getter: () => answer })
}

/** The answer that {@link answerPreflights} has set for the scope of a request. */
export const preflightOf = (request: FastifyRequest & { preflight?: PreflightAnswer }): PreflightAnswer | undefined =>
  request.preflight
