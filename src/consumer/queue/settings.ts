import { z } from 'zod'
import { MAX_TIMER_MS } from '../../core/model.js'
import { count, HOUR_MS, yesOrNo } from '../../core/settings/units.js'
import { MIN_LOCK_MS } from './queue-verbs.js'

/** Queues: the section `queues` of the configuration. */
export const queueSettings = z
  .strictObject({
    maxLockMs: z
      .int()
      .min(MIN_LOCK_MS)
      .max(MAX_TIMER_MS)
      .default(HOUR_MS)
      .describe(
        'Limit of `lockMs` and `delayMs` of requests: the gateway renews the lock of a message for at most so long'
      ),
    create: yesOrNo(true).describe(
      'Whether a request may make a new share group, whose name no consumer group can have later. `false`: a group without settings and without state is refused'
    ),
    maxHeld: count
      .default(10_000)
      .describe(
        'Limit of messages that clients hold or that wait for a delayed release; beyond it no more are acquired (`overloaded`). One takes about 500 bytes'
      )
      .meta({ advanced: true }),
    maxHeldPerClient: count
      .default(1_000)
      .describe('Limit of such messages of one principal, or of one address without credentials (`quotaExceeded`)')
      .meta({ advanced: true }),
    maxWaiting: count
      .default(2_000)
      .describe('Limit of requests that wait for messages; one client has at most about half of them')
      .meta({ advanced: true }),
    maxQueues: count
      .default(100)
      .describe(
        'Limit of pairs of a topic and a group that are read at the same time, each by a connection per broker; one client has about half of them'
      )
      .meta({ advanced: true })
  })
  .prefault({})
  .describe('Topics as queues, read by share groups of Kafka 4.2 or later: [queues.md](queues.md)')
