import { type CastellanError, OverloadedError, QuotaExceededError, UnreadableBodyError } from '../../core/errors.js'
import type { Shares } from '../../core/shares.js'
import { rightsOf, rightsToSee, type TargetOfRight, type VerbPath } from '../../verbs/facts.js'
import type { Access, AccessTarget, Caller } from '../access/access.js'
import { BufferPool } from '../exchange/body-collector.js'
import { clientOf } from '../exchange/client.js'
import { collectDecoded } from '../exchange/decoded-body.js'
import { type Exchange, endTurn, hasBody, keepTurn } from '../exchange/exchange.js'
import type { ErrorAnswers } from './api-answers.js'

/** Limit of bytes that are read of a body without a meaning. */
export const IGNORED_BYTES = 64 * 1024
/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024
export const bodyPool = (): BufferPool => new BufferPool(POOL_BYTES)

export type Params = Readonly<Record<string, string>>
export type Receive = (exchange: Exchange, params: Params) => void

/** Parts with which an endpoint refuses requests and answers failed ones. */
export interface EndpointBase {
  readonly answers: Pick<ErrorAnswers, 'fail'>
  readonly access: Access
}

/** Asks for the rights to a verb on what a request names. @returns why the client may not use it; `undefined`: it may */
export function authorize(caller: Caller, verb: VerbPath, target: AccessTarget): CastellanError | undefined {
  const { needed, sufficient } = rightsOf(verb, target)
  const lacks = sufficient.length > 0 && !needed.every(right => caller.allows(right, target))
  const enough = lacks ? sufficient.find(right => caller.allows(right, target)) : undefined
  for (const right of enough === undefined ? needed : [enough]) {
    const refusal = caller.refusalOf(right, target)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

/** @returns whether the client may see something that the answer to a verb names; if not, the answer leaves it out */
export function seenBy(caller: Caller, verb: VerbPath, of: TargetOfRight): (target: AccessTarget) => boolean {
  const rights = rightsToSee(verb, of)
  return target => rights.every(right => caller.allows(right, target))
}

/** Refuses a request whose client may not use the verb. @returns whether it may */
export const admits = (parts: EndpointBase, exchange: Exchange, verb: VerbPath, target: AccessTarget): boolean =>
  goesOn(parts, exchange, authorize(parts.access.callerOf(exchange.request), verb, target))

/** Checks the right to manage the whole process, such as to read its metrics. @returns whether the client has it */
export const admitsManager = (parts: EndpointBase, exchange: Exchange): boolean =>
  goesOn(parts, exchange, parts.access.callerOf(exchange.request).refusalOf('management'))

/** For requests that name no topic or group: refuses clients to which no rule gives anything. @returns whether it may go on */
export const admitsRuled = (parts: EndpointBase, exchange: Exchange): boolean =>
  goesOn(parts, exchange, parts.access.callerOf(exchange.request).refusalOfUnruled())

function goesOn({ answers }: EndpointBase, exchange: Exchange, refusal: CastellanError | undefined): boolean {
  if (refusal !== undefined) answers.fail(exchange, refusal, !hasBody(exchange))
  return refusal === undefined
}

/**
 * Collects a body, and charges its bytes. Later requests of the connection begin after it was used.
 *
 * @param use gets the bytes, valid during the call; what it throws is answered
 */
export function withBytes(
  { access, answers, pool }: EndpointBase & { readonly pool: BufferPool },
  exchange: Exchange,
  maxBytes: number,
  tooLarge: Error,
  use: (bytes: Buffer) => void
): void {
  keepTurn(exchange)
  collectDecoded(exchange, maxBytes, pool, (bytes, seenBytes, { isRead }) => {
    const caller = access.callerOf(exchange.request)
    const refusal = bytes instanceof Buffer ? caller.charge(0, seenBytes) : undefined
    // A decoded body is charged even if nothing can be made of it: decoding has taken its time.
    if (isRead && !(bytes instanceof Buffer)) caller.spend(0, seenBytes)
    if (bytes === 'tooLarge') answers.fail(exchange, tooLarge, false)
    else if (bytes instanceof OverloadedError || bytes instanceof UnreadableBodyError)
      answers.fail(exchange, bytes, isRead)
    // A client that has left gets no answer.
    else if (bytes instanceof Buffer) {
      try {
        if (refusal !== undefined) throw refusal
        use(bytes)
      } catch (error) {
        answers.fail(exchange, error)
      }
      endTurn(exchange)
    }
  })
}

/** A client asks Kafka for too much at once. */
const tooManyLookUps = {
  greedy: new QuotaExceededError('too many requests of one client wait for Kafka', 1),
  full: new OverloadedError('too many requests wait for Kafka')
}

/** Does what a request asks Kafka for. @param work answers when it succeeds */
export function answerWork(
  { access, answers, lookUps }: EndpointBase & { readonly lookUps: Shares },
  exchange: Exchange,
  work: (client: string | undefined) => Promise<void>
): void {
  const client = clientOf(exchange.request, access.callerOf(exchange.request))
  const problem = lookUps.problemOf(client)
  if (problem !== undefined) {
    answers.fail(exchange, tooManyLookUps[problem])
    return
  }
  const release = lookUps.take(client)
  work(client)
    .catch(error => answers.fail(exchange, error))
    .finally(release)
}
