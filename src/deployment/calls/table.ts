import { acks, lagGroups, QUEUE_CALLS } from './group-calls.js'
import { INSTANCE_CALLS } from './instance-calls.js'
import { KEY_CALLS } from './key-calls.js'
import { LENDING_CALLS } from './lending-calls.js'
import { receipt } from './receipt-calls.js'
import { WEBHOOK_CALLS } from './webhook-calls.js'

/**
 * All calls between gateways. The listener lets a gateway with the token of the deployment make any of them. A new one is
 * a line here, and has a sample in test/deployment/calls/table.test.ts.
 */
export const CALLS = {
  receipt,
  acks,
  lagGroups,
  instances: INSTANCE_CALLS,
  keys: KEY_CALLS,
  lending: LENDING_CALLS,
  queues: QUEUE_CALLS,
  webhooks: WEBHOOK_CALLS
}
