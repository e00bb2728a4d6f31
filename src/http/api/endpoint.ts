import { type CastellanError, OverloadedError, QuotaExceededError, UnreadableBodyError } from '../../core/errors.js'
import type { Shares } from '../../core/shares.js'
import type { Access, Operation, Target } from '../access/access.js'
import { BufferPool } from '../exchange/body-collector.js'
import { clientOf } from '../exchange/client.js'
import { collectDecoded } from '../exchange/decoded-body.js'
import { type Exchange, hasBody } from '../exchange/exchange.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024
export const bodyPool = (): BufferPool => new BufferPool(POOL_BYTES)

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

export function fail({ answers, broken }: EndpointBase, exchange: Exchange, error: unknown): void {
  if (!answers.failed(exchange, error)) broken(exchange, error)
}

/** Collects a body. @param use gets the bytes, valid during the call; what it throws is answered */
export function withBytes(
  parts: EndpointBase & { readonly pool: BufferPool },
  exchange: Exchange,
  maxBytes: number,
  tooLarge: () => void,
  use: (bytes: Buffer) => void
): void {
  collectDecoded(exchange, maxBytes, parts.pool, (bytes, seenBytes, isRead) => {
    // What was decoded has taken its time, also where nothing can be made of it.
    if (isRead && !(bytes instanceof Buffer)) parts.access.callerOf(exchange.request).charge(0, seenBytes)
    if (bytes === 'tooLarge') tooLarge()
    else if (bytes instanceof OverloadedError || bytes instanceof UnreadableBodyError)
      parts.answers.refuse(exchange, bytes, isRead)
    // A client that has left gets no answer.
    else if (bytes instanceof Buffer) {
      try {
        use(bytes)
      } catch (error) {
        fail(parts, exchange, error)
      }
    }
  })
}

/** A client asks Kafka for too much at once. */
const tooManyLookUps = {
  greedy: new QuotaExceededError('too many requests of one client wait for Kafka', 1),
  full: new OverloadedError('too many requests wait for Kafka')
}

/**
 * Does what a request asks Kafka for; `work` answers when it succeeds.
 *
 * @param failed answers when it fails
 */
export function answerWork(
  parts: EndpointBase & { readonly lookUps: Shares },
  exchange: Exchange,
  work: (client: string | undefined) => Promise<void>,
  failed = (error: unknown): void => fail(parts, exchange, error)
): void {
  const { access, answers, lookUps } = parts
  const client = clientOf(exchange.request, access.callerOf(exchange.request))
  const problem = lookUps.problemOf(client)
  if (problem !== undefined) {
    answers.refuse(exchange, tooManyLookUps[problem], true)
    return
  }
  const release = lookUps.take(client)
  work(client).catch(failed).finally(release)
}
