import type { FastifyReply, FastifyRequest, preParsingHookHandler, RequestPayload } from 'fastify'
import { CastellanError } from '../../core/errors.js'
import { refusalStatus } from '../access/refusals.js'
import type { Admission, HeldRequest } from '../exchange/admission.js'
import type { Exchange } from '../exchange/exchange.js'

/**
 * A `preParsing` hook that takes requests out of Fastify's hands before their bodies are read. The routes that carry most
 * of the traffic use it, because it saves them a parsed content type, an async resource, a serializer and copies:
 *
 *   app.post('/topics/:topic', { preParsing: byHand(receive) }, answeredBefore)    one route
 *   app.addHook('preParsing', byHand(receive))                                      all routes of the scope, 404 included
 *
 * What comes before the body is Fastify's as for other routes: routing, and the `onRequest` hooks, in which the process
 * refuses requests (access, quotas, web pages of others, draining). Those refusals come to the error handler of the
 * scope; `refusalStatus` and `refusalHeaders` of `access/` say how they are answered.
 *
 * What comes after is the business of `receive`, which must answer each request once, also when something throws:
 *
 *   - admission, where given, lets requests wait, unread, until there is room for what they bring; one that finds none in
 *     time comes to the error handler of the scope.
 *   - collectBody reads the body within a limit and hands on its bytes, valid during that call only. Gateway.produce
 *     copies what it takes, so that no byte of a body has to be copied before.
 *   - Answers writes the answer with the headers `x-request-id` and `x-castellan-persisted`. The hooks `onSend` do not
 *     run, so addPersistedHeader does not see these answers.
 *   - upgradeOf tells whether the client asks for another protocol on its connection.
 */
export const byHand = (
  receive: (exchange: Exchange, params: Readonly<Record<string, string>>) => void,
  admission?: Admission
): preParsingHookHandler => {
  const enter = (request: FastifyRequest, reply: FastifyReply, payload: RequestPayload): void => {
    reply.hijack()
    const { raw, id: requestId } = request
    receive({ request: raw, response: reply.raw, payload, requestId }, request.params as Record<string, string>)
  }
  return (request, reply, payload, done) => {
    const held = request.raw as HeldRequest
    if (admission === undefined || admission.tryAdmit(held)) enter(request, reply, payload)
    else admission.admit(held, () => enter(request, reply, payload), done)
  }
}

/**
 * The error handler of a scope whose requests {@link byHand} takes: it hands over requests that the process has refused
 * before they were read. Every other error goes on to the handler above.
 */
export const refusedBy =
  (refuse: (exchange: Pick<Exchange, 'response' | 'requestId'>, error: CastellanError) => void) =>
  (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    if (!(error instanceof CastellanError) || refusalStatus(error) === undefined) throw error
    reply.hijack()
    refuse({ response: reply.raw, requestId: request.id }, error)
  }

/** The handler of routes whose requests {@link byHand} takes: it is never called. */
export const answeredBefore = (): void => {}
