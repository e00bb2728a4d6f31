import { z } from 'zod'
import { bytes, count, milliseconds, millisecondsOrZero } from '../../core/settings/units.js'

const MIB = 1024 * 1024

const section = z.strictObject({
  start: z
    .enum(['latest', 'earliest'])
    .default('latest')
    .describe(
      'Where a group begins to read a topic in which it has committed nothing. That is committed at once; partitions that come later are read from their beginning'
    ),
  subscriptionTimeoutMs: milliseconds
    .default(15_000)
    .describe(
      'When a topic has not been asked for this long, the member gives it up; without topics it leaves the group'
    ),
  longPollMs: milliseconds.default(3_000).describe('How long a request waits for a message'),
  maxWaitingRequests: count
    .default(64)
    .describe(
      'Most requests of one group and topic that wait behind the first; the next one is refused as `overloaded`'
    ),
  ackTimeoutMs: milliseconds
    .default(300_000)
    .describe('When a message has not been acknowledged for this long after it was offered, it is offered again'),
  maxRetries: z
    .int()
    .min(-1)
    .default(-1)
    .describe(
      'How often a message is offered again before it is given up and counts as acknowledged; -1: without a limit'
    ),
  maxPendingMessages: count
    .default(300)
    .describe(
      'Most messages of a partition that are offered and not acknowledged. One more is offered, then no new ones'
    ),
  commitIntervalMs: millisecondsOrZero
    .default(500)
    .describe('Pause between two commits of a group. The first commit after a pause is sent at once'),
  sessionTimeoutMs: milliseconds
    .default(10_000)
    .describe(
      'The coordinator removes a member without a heartbeat for this long. Brokers refuse less than 6 s by default'
    ),
  heartbeatIntervalMs: milliseconds
    .default(3_000)
    .describe(
      'Longest pause between two heartbeats of a member. While clients wait and it has no partitions for them, it is at most 0.5 s'
    ),
  rebalanceTimeoutMs: milliseconds
    .default(60_000)
    .describe('How long the coordinator waits for all members to join again in a rebalance'),
  revocationMs: millisecondsOrZero
    .default(5_000)
    .describe(
      'How long a member that has to join again waits for acknowledgements of offered messages. Messages without one are offered again by the member that gets their partition'
    ),
  partitionCheckMs: milliseconds
    .default(10_000)
    .describe('How often it is looked whether topics have got more partitions, for all groups by one request'),
  retryBackoffMs: milliseconds.default(500).describe('Pause after a failure before it is tried again'),
  bufferMaxBytes: bytes
    .default(64 * MIB)
    .describe(
      'Fetched batches that all groups together hold; the least recently used one is dropped, and fetched again'
    ),
  maxGroups: count
    .default(5_000)
    .describe(
      'Most groups at a time; a request for another one is refused as `overloaded`, and so is one of a client that has begun more than are free'
    ),
  maxTopicsPerGroup: count
    .default(1_000)
    .describe('Most topics that a group reads at a time; a request for another one is refused as `overloaded`'),
  instanceId: z
    .string()
    .min(1)
    .max(249)
    .optional()
    .describe(
      'Makes the process a static member (KIP-345) of its groups under this name, so that a restart within the session time-out causes no rebalance. No two processes may have the same'
    )
})
const options = section.refine(({ heartbeatIntervalMs, sessionTimeoutMs }) => heartbeatIntervalMs < sessionTimeoutMs, {
  path: ['heartbeatIntervalMs'],
  error: 'must be shorter than `sessionTimeoutMs`, and should be a third of it: the coordinator removes a silent member'
})

/** Every limit and time of consumer groups. */
export type ConsumerSettings = Readonly<z.output<typeof options>>
export type ConsumerSettingsOverrides = Partial<ConsumerSettings>

/** Consumer groups: the section `consumer` of the configuration. */
export const consumerSettings = options
  .prefault({})
  .describe('Reading on behalf of consumer groups: membership, acknowledgements and limits, for all clusters and APIs')

/** The options of consumer groups, as `openCastellan({ consumer })` takes them. */
export const consumerOptions = options.prefault({})

export const defaultConsumerSettings: ConsumerSettings = options.parse({})
