import type { CastellanError } from '../../core/errors.js'
import type { Access, Operation, Target } from '../access/access.js'
import { type Exchange, hasBody } from '../exchange/exchange.js'

/** The parameters of the path. */
export type Params = Readonly<Record<string, string>>
export type Receive = (exchange: Exchange, params: Params) => void

/** What an endpoint needs to refuse requests, and to answer those that fail. */
export interface EndpointBase {
  readonly answers: {
    refuse(exchange: Exchange, error: CastellanError, isRead?: boolean): void
    /** @returns false: it is a bug, and nothing is answered */
    failed(exchange: Exchange, error: unknown): boolean
  }
  readonly access: Access
  /** Answers a request that has failed by a bug. */
  readonly broken: (exchange: Exchange, error: unknown) => void
}

/** Refuses a request whose client may not do this. @returns whether it may */
export function admits(
  { access, answers }: EndpointBase,
  exchange: Exchange,
  operation: Operation,
  target: Target
): boolean {
  const refusal = access.callerOf(exchange.request).refusalOf(operation, target)
  if (refusal !== undefined) answers.refuse(exchange, refusal, !hasBody(exchange))
  return refusal === undefined
}

/** For requests that name nothing: refuses clients to which no rule gives anything. @returns whether it may */
export function admitsRuled(
  { access, answers }: Pick<EndpointBase, 'access'> & { readonly answers: Pick<EndpointBase['answers'], 'refuse'> },
  exchange: Exchange
): boolean {
  const refusal = access.callerOf(exchange.request).refusalOfUnruled()
  if (refusal !== undefined) answers.refuse(exchange, refusal, !hasBody(exchange))
  return refusal === undefined
}

/** Answers a request that has failed. */
export function fail({ answers, broken }: EndpointBase, exchange: Exchange, error: unknown): void {
  if (!answers.failed(exchange, error)) broken(exchange, error)
}
