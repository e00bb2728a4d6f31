import { z } from 'zod'
import { parseOptions } from '../../core/settings/options.js'
import { bytes, count, milliseconds } from '../../core/settings/units.js'
import { defaultRouterSettings, type RouterSettingsOverrides } from '../../router/routing/settings.js'

const MIB = 1024 * 1024

const section = z.strictObject({
  maxBytes: bytes
    .default(64 * MIB)
    .describe(
      'Memory for records that wait for Kafka, all partitions together, bookkeeping included; further records are refused as overload'
    ),
  maxPartitionBytes: bytes
    .default(16 * MIB)
    .describe('The same for one partition, so that a stuck partition leaves memory to the others'),
  batchMaxBytes: bytes
    .default(1_000_000)
    .describe(
      'Largest record batch; must not exceed `max.message.bytes` of the topics. A single record that is larger is sent in a batch of its own'
    ),
  maxRecordBytes: bytes.default(1 * MIB).describe('Key, value and headers of one record; larger ones are refused'),
  timeoutMs: milliseconds
    .default(120_000)
    .describe(
      'Longest time that a record waits, and that a batch which may have reached a broker is tried again before it is given up'
    ),
  unknownTopicWaitMs: milliseconds
    .optional()
    .describe(
      'Former name of `router.unknownTopicTimeoutMs` and `router.unknownTopicRememberedMs`; sets both. The Router decides when a topic is unknown, for those who write as for those who read'
    ),
  unknownTopicMaxBytes: bytes
    .default(1 * MIB)
    .describe(
      'Memory for the records of one topic that the brokers do not know. While no broker has answered yet, `maxPartitionBytes` applies instead. The records of all topics of either kind may take a quarter of `maxBytes`'
    ),
  maxUnknownTopics: count
    .default(1_000)
    .describe(
      'Most topics that the brokers do not know and that records wait for. When there are more, the records of the topic that has been missing longest fail with `unknownTopic`'
    ),
  maxPendingTopics: count
    .default(10_000)
    .describe(
      'Most topics that records wait for while no broker has answered for them; records for further topics are refused. One request may add a quarter of them'
    ),
  createTopics: z
    .boolean()
    .default(true)
    .describe('Lets the brokers create missing topics that are written to, where `auto.create.topics.enable` is on'),
  lookUpIntervalMs: milliseconds
    .optional()
    .describe(
      'Has no effect any more: the Router looks topics up, paced by `router.refreshBackoffMs` and `router.refreshBackoffMaxMs`'
    ),
  retryBackoffMs: milliseconds.default(100).describe('First pause before a batch is tried again; it doubles each time'),
  retryBackoffMaxMs: milliseconds.default(1_000).describe('Longest pause before a batch is tried again'),
  answerTimeoutMs: milliseconds
    .default(60_000)
    .describe('How long delivery waits for the answer of the Router before a batch counts as unanswered'),
  compression: z
    .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    .default('none')
    .describe('How record batches are compressed before they are sent')
})

/** Writing: the section `delivery` of the configuration. */
export const deliverySettings = section.prefault({}).describe('Writing: buffers, batches and retries per partition')

/** What delivery can be told. In the configuration the last one stands in the section `router`. */
const options = section.extend({
  metadataMaxAgeMs: milliseconds
    .default(defaultRouterSettings.metadataMaxAgeMs)
    .describe('Topics that no request has written to for ten times as long are forgotten')
})

/** The options of delivery, as `openCastellan({ delivery })` takes them. */
export const deliveryOptions = options.prefault({})

/** Every limit and time of delivery; docs/configuration.md describes them. */
export type DeliverySettings = Readonly<z.output<typeof options>>

export const defaultDeliverySettings: DeliverySettings = options.parse({})

/** @throws ConfigError naming every setting that is wrong */
export const toDeliverySettings = (overrides: Partial<DeliverySettings> = {}): DeliverySettings =>
  parseOptions(options, overrides, 'startDelivery', 'settings')

/** Settings of delivery that decide about topics. The Router does that for all. */
export const topicSettingsOf = ({
  createTopics,
  unknownTopicWaitMs
}: Partial<DeliverySettings> = {}): RouterSettingsOverrides => ({
  ...(createTopics === undefined ? {} : { allowAutoTopicCreation: createTopics }),
  ...(unknownTopicWaitMs === undefined
    ? {}
    : { unknownTopicTimeoutMs: unknownTopicWaitMs, unknownTopicRememberedMs: unknownTopicWaitMs })
})
