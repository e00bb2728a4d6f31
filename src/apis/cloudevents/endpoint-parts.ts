import { OverloadedError } from '../../core/errors.js'
import { type EndpointBase, fail, type Receive } from '../../http/api/endpoint.js'
import { type BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import type { EventAnswers } from './event-answers.js'

export interface EndpointParts extends EndpointBase {
  readonly answers: EventAnswers
  readonly pool: BufferPool
}

/** Calls a handler, and answers what it throws. */
export const guarded =
  (parts: EndpointParts, receive: Receive): Receive =>
  (exchange, params) => {
    try {
      receive(exchange, params)
    } catch (error) {
      fail(parts, exchange, error)
    }
  }

/** More is not read of a body that means nothing. */
const IGNORED_BYTES = 64 * 1024

/** Calls a handler once the body has come, which means nothing: clients send an empty one in pieces. */
export const afterBody =
  (parts: EndpointParts, receive: Receive): Receive =>
  (exchange, params) => {
    const declaredBytes = Number(exchange.request.headers['content-length'] ?? 0)
    collectBody(exchange.payload, declaredBytes, IGNORED_BYTES, parts.pool, body => {
      if (body === 'tooLarge')
        parts.answers.problem(exchange, 413, 'a request of this kind has no body', { isRead: false })
      else if (body instanceof OverloadedError) parts.answers.refuse(exchange, body)
      // A client that has left gets no answer.
      else if (body instanceof Buffer) guarded(parts, receive)(exchange, params)
    })
  }
