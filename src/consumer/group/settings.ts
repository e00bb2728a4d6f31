import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { defaultsOf } from '../../core/settings/options.js'
import { bytes, constantOptions, count, milliseconds, millisecondsOrZero } from '../../core/settings/units.js'

/** Constants of consumer groups. No deployment has needed other values. Tests pass other values to `openCastellan`. */
const constants = {
  /**
   * Interval of the checks for new partitions. One request serves all groups, so it costs the brokers almost nothing.
   */
  partitionCheckMs: 10_000,
  /** Interval of the checks for topics that did not exist when a group asked for them. */
  missingTopicCheckMs: 1_000,
  /** Limit of topics in one group; a client with more invents names. Further topics are refused as `overloaded`. */
  maxTopicsPerGroup: 1_000
}

const section = z.strictObject({
  start: z
    .enum(['latest', 'earliest'])
    .default('latest')
    .describe('Where a group begins to read a topic without committed offsets'),
  subscriptionTimeoutMs: milliseconds
    .default(15_000)
    .describe(
      'A member stops reading a topic that no client has asked for during this time; a member without topics leaves the group'
    ),
  longPollMs: milliseconds.default(3_000).describe('How long a request waits for a message'),
  maxWaitingRequests: count
    .default(64)
    .describe(
      'Limit of requests of one group and topic that wait behind the first request; further requests are refused as `overloaded`'
    )
    .meta({ advanced: true }),
  ackTimeoutMs: milliseconds
    .default(300_000)
    .describe('Time limit for the acknowledgement of an offered message, which is then offered again'),
  maxRetries: z
    .int()
    .min(-1)
    .default(-1)
    .describe('How often a message is offered again before it counts as acknowledged; -1: without a limit'),
  maxPendingMessages: count
    .default(300)
    .describe(
      'Limit of messages of a partition that are offered and not acknowledged (one more may be). In `run` of the library, those that wait for handlers count, too'
    ),
  commitIntervalMs: millisecondsOrZero
    .default(500)
    .describe('Pause between two commits of a group. The first commit after a pause is sent at once')
    .meta({ advanced: true }),
  sessionTimeoutMs: milliseconds
    .default(10_000)
    .describe(
      'The coordinator removes a member that sends no heartbeat for this time. By default brokers refuse less than 6 s'
    ),
  heartbeatIntervalMs: milliseconds
    .default(3_000)
    .describe(
      'Longest pause between two heartbeats of a member. The pause is at most 0.5 s while clients wait and the member has no partitions for them, and for `sessionTimeoutMs` after a rebalance'
    )
    .meta({ advanced: true }),
  rebalanceTimeoutMs: milliseconds
    .default(60_000)
    .describe('How long the coordinator waits for all members to join again in a rebalance')
    .meta({ advanced: true }),
  revocationMs: millisecondsOrZero
    .default(5_000)
    .describe(
      'How long a member that has to join again waits for acknowledgements. A message without one is offered again by the member that gets its partition'
    )
    .meta({ advanced: true }),
  lend: z
    .boolean()
    .default(true)
    .describe(
      'Whether gateways that know each other by `peers.addresses` lend messages: a client gets a message also from a gateway that it has not called, where no client waits there. `false`: a client that keeps to one gateway has the partitions of that gateway for itself. Programs with the library neither lend nor borrow'
    ),
  loanTimeoutMs: z
    .int()
    .min(2_000)
    .default(5_000)
    .describe(
      'How long a gateway waits for word that a message which it has lent has arrived, at most half of `ackTimeoutMs`. Then it offers the message again'
    )
    .meta({ advanced: true }),
  retryBackoffMs: milliseconds
    .default(500)
    .describe('Pause before another attempt after a failure')
    .meta({ advanced: true }),
  bufferMaxBytes: bytes
    .default(64 * MIB)
    .describe(
      'Limit of the fetched batches that all groups hold. Beyond it, the least recently used batch is dropped, and fetched again later'
    )
    .meta({ advanced: true }),
  maxGroups: count
    .default(5_000)
    .describe(
      'Limit of simultaneous groups; a request for another group is refused as `overloaded`. It is also refused when its client has started more groups than there are free places'
    )
    .meta({ advanced: true }),
  instancesTopic: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{0,249}$/, 'must be the name of a topic, or empty')
    .default('__castellan_instances')
    .describe(
      'The compacted topic with the states of consumer instances, so that they outlive a restart. Created with the first instance, with one partition; empty: instances live in memory alone'
    )
    .meta({ advanced: true }),
  instanceId: z
    .string()
    .min(1)
    .max(249)
    .optional()
    .describe(
      'Makes the process a static member (KIP-345) of its groups under this name, so that a restart within the session time-out causes no rebalance. Each process needs a different name'
    )
})
const isInTime = ({ heartbeatIntervalMs, sessionTimeoutMs }: z.output<typeof section>): boolean =>
  heartbeatIntervalMs < sessionTimeoutMs

const tooSeldom = {
  path: ['heartbeatIntervalMs'],
  error: 'must be shorter than `sessionTimeoutMs`, and should be a third of it: the coordinator removes a silent member'
}

const options = section.extend(constantOptions(constants)).refine(isInTime, tooSeldom)

export type ConsumerSettings = Readonly<z.output<typeof options>>
export type ConsumerSettingsOverrides = Partial<ConsumerSettings>

/** Consumer groups: the section `consumer` of the configuration. */
export const consumerSettings = section
  .refine(isInTime, tooSeldom)
  .prefault({})
  .describe('Reading on behalf of consumer groups: membership, acknowledgements and limits, for all clusters and APIs')

/** The options of consumer groups, as `openCastellan({ consumer })` takes them. */
export const consumerOptions = options.prefault({})

export const defaultConsumerSettings: ConsumerSettings = defaultsOf(options)
