import type { Access, Operation, Target } from '../../http/access/access.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
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
