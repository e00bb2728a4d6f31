import { OverloadedError } from '../../core/errors.js'
import type { Access, Operation, Target } from '../../http/access/access.js'
import { type BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import type { EventAnswers } from './event-answers.js'

/** The parts that every endpoint is created with. */
export interface EndpointParts {
  readonly answers: EventAnswers
  readonly access: Access
  readonly pool: BufferPool
  /** Answers a request that has failed by a bug. */
  readonly broken: (exchange: Exchange, error: unknown) => void
}

/** The parameters of the path. */
export type Params = Readonly<Record<string, string>>
export type Receive = (exchange: Exchange, params: Params) => void

/** Refuses a request whose client may not do this. @returns whether it may */
export function admits(
  { access, answers }: EndpointParts,
  exchange: Exchange,
  operation: Operation,
  target: Target
): boolean {
  const refusal = access.callerOf(exchange.request).refusalOf(operation, target)
  if (refusal !== undefined) answers.refuse(exchange, refusal, !hasBody(exchange))
  return refusal === undefined
}

/** Answers a request that has failed. */
export function fail({ answers, broken }: EndpointParts, exchange: Exchange, error: unknown): void {
  if (!answers.failed(exchange, error)) broken(exchange, error)
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
