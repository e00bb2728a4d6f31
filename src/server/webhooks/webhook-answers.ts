import { ForbiddenError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import type { Shares } from '../../core/shares.js'
import { ANONYMOUS } from '../../http/access/access.js'
import { ApiError, type ProblemAnswers } from '../../http/api/api-answers.js'
import { authorize, type EndpointBase, type Params } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import { isOfThisMachine } from '../../http/exchange/client.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { rightsOf, type VerbPath } from '../../verbs/facts.js'
import type { Verbs } from '../../verbs/verbs.js'
import { groupOfWebhook, type WebhookDefinition } from '../../webhooks/definition.js'
import type { WebhooksOfAll } from '../../webhooks/webhooks-of-all.js'

export interface WebhookParts extends EndpointBase {
  readonly answers: ProblemAnswers
  readonly pool: BufferPool
  readonly lookUps: Shares
  readonly webhooks: WebhooksOfAll
  readonly verbsByCluster: ReadonlyMap<string, Verbs>
  readonly log: Logger
}

const NOT_HERE =
  'without credentials, and without rules of access, webhooks are for clients on the machine of the gateway only, and not through a proxy'

/** The same whether there is such a webhook or not, and without the name of its topic. */
const notAllowed = (principal: string, name: string): string =>
  `${principal} may not do this with a webhook ${name}: no rule allows it for its topic and its group (access.rules)`

/** @throws ForbiddenError for a client on another machine about which nothing is known */
export function requireNear({ access }: WebhookParts, { request }: Exchange): void {
  const caller = access.callerOf(request)
  if (!caller.isRuled && caller.principal === ANONYMOUS && !isOfThisMachine(request)) throw new ForbiddenError(NOT_HERE)
}

/**
 * The webhook in a path, for a client that has the right to the verb.
 *
 * @throws ForbiddenError when the client may not, whether there is such a webhook or not; ApiError 404 when there is none
 */
export function webhookOf(
  parts: WebhookParts,
  exchange: Exchange,
  verb: VerbPath & `webhooks.${string}`,
  { name = '' }: Params
): WebhookDefinition {
  requireNear(parts, exchange)
  const { access, webhooks } = parts
  const caller = access.callerOf(exchange.request)
  const group = groupOfWebhook(name)
  const found = webhooks.defined.find(one => one.name === name)
  const refusal =
    found === undefined
      ? caller.refusalOf(rightsOf(verb, { topic: '', group }).needed[0]!, { group })
      : authorize(caller, verb, { topic: found.topic, group })
  if (refusal instanceof ForbiddenError) throw new ForbiddenError(notAllowed(caller.principal, name))
  if (refusal !== undefined) throw refusal
  if (found === undefined) throw new ApiError(404, 'this gateway has no webhook of this name')
  return found
}
