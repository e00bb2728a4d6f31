import type { QueueLimits } from '../../src/verbs/verbs.js'

/** Limits that no test of queues reaches. */
export const WIDE_LIMITS: QueueLimits = {
  maxLockMs: 3_600_000,
  mayCreate: true,
  maxHeld: 10_000,
  maxHeldPerClient: 1_000,
  maxWaiting: 2_000,
  maxQueues: 100
}
