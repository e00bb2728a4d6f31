import { type EndpointBase, fail, type Receive, withBytes } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
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
    const tooLarge = (): void =>
      parts.answers.problem(exchange, 413, 'a request of this kind has no body', { isRead: false })
    withBytes(parts, exchange, IGNORED_BYTES, tooLarge, () => receive(exchange, params))
  }
