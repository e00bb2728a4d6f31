import { errorOfFailure } from '../../core/error-of-failure.js'
import { printable, shortened } from '../../core/printable.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure } from '../../router/messages/operations.js'
import { kafkaFailure, problemOfGroup } from '../../router/requests/failures.js'

/** Prefix of the names of all groups of webhooks. Nothing else may use such a group. */
export const WEBHOOK_GROUPS = 'castellan-webhook-'

/**
 * The failure for what would change the group of a webhook: consume, acknowledge, commit and delete, through whichever API or
 * command. It is answered as for a group of another kind: HTTP's 409.
 */
export function refusalOfWebhookGroup(groupId: string): Failure | undefined {
  if (!groupId.startsWith(WEBHOOK_GROUPS)) return undefined
  const group = printable(shortened(groupId))
  const message = `group ${group} is that of a webhook, and only the webhook uses it`
  return { ...kafkaFailure(errorCodes.INCONSISTENT_GROUP_PROTOCOL), message }
}

/** The failure for a group that clients cannot use. */
export const problemOfClientsGroup = (groupId: string): Failure | undefined =>
  problemOfGroup(groupId) ?? refusalOfWebhookGroup(groupId)

/** @throws KafkaError when the group is that of a webhook */
export function requireClientsGroup(groupId: string): void {
  const refusal = refusalOfWebhookGroup(groupId)
  if (refusal !== undefined) throw errorOfFailure(refusal)
}
