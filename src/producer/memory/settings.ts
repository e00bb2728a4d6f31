import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { defaultsOf, parseOptions } from '../../core/settings/options.js'
import { bytes, constantOptions, milliseconds, yesOrNo } from '../../core/settings/units.js'
import { defaultRouterSettings, type RouterSettingsOverrides } from '../../router/routing/settings.js'

/** Constants of delivery: no deployment has needed other values. Tests pass other values to `startDelivery`. */
const constants = {
  /** Enough for some hundred records of a topic that is about to be created, and small enough for 16 invented names. */
  unknownTopicMaxBytes: 1 * MIB,
  /**
   * More misspelt names than a fleet of clients has; beyond this limit, the name that was denied first is forgotten.
   */
  maxUnknownTopics: 1_000,
  /** A busy gateway may write to this many topics at once after its start. One request may add a quarter of them. */
  maxPendingTopics: 10_000,
  /** Most retriable errors are over within this pause, which doubles each time. */
  retryBackoffMs: 100,
  /** Pauses need not be longer: at this interval, a repeated batch costs next to nothing. */
  retryBackoffMaxMs: 1_000,
  /** Longer than any deadline of the Router, which answers each batch: only a bug makes delivery wait this long. */
  answerTimeoutMs: 60_000
}

const section = z.strictObject({
  maxBytes: bytes
    .default(64 * MIB)
    .describe(
      'Memory for records that wait for Kafka, all partitions together, bookkeeping included; further records are refused as overload'
    ),
  maxPartitionBytes: bytes
    .default(16 * MIB)
    .describe(
      'Memory for records of one partition that wait for Kafka, bookkeeping included: a stuck partition leaves the rest of `delivery.maxBytes` to the others'
    )
    .meta({ advanced: true }),
  batchMaxBytes: bytes
    .default(1_000_000)
    .describe(
      'Largest record batch. If that is more than `max.message.bytes` of a topic, the broker refuses the batch, and its halves are sent. A single record that is larger is sent in a batch of its own'
    ),
  maxRecordBytes: bytes.default(1 * MIB).describe('Key, value and headers of one record; larger ones are refused'),
  timeoutMs: milliseconds
    .default(120_000)
    .describe('Longest time that a record waits, and that a batch which may have reached a broker is tried again'),
  createTopics: yesOrNo(true).describe(
    'Lets the brokers create missing topics that are written to, if `auto.create.topics.enable` is on'
  ),
  compression: z
    .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    .default('none')
    .describe('How record batches are compressed before they are sent')
})

/** Writing: the section `delivery` of the configuration. */
export const deliverySettings = section.prefault({}).describe('Writing: buffers, batches and retries per partition')

/** All options of delivery. In the configuration the age of metadata is in the section `router`. */
const options = section.extend({
  ...constantOptions(constants),
  metadataMaxAgeMs: milliseconds
    .default(defaultRouterSettings.metadataMaxAgeMs)
    .describe('Topics that no request has written to for ten times as long are forgotten')
})

/** The options of delivery, as `openCastellan({ delivery })` takes them. */
export const deliveryOptions = options.prefault({})

/** Every limit and time of delivery; docs/configuration.md describes them. */
export type DeliverySettings = Readonly<z.output<typeof options>>

/** The settings of the partitions of one delivery. `transactionalId`: their batches belong to a transaction of this id. */
export type SenderSettings = DeliverySettings & { readonly transactionalId?: string | undefined }

export const defaultDeliverySettings: DeliverySettings = defaultsOf(options)

/** @throws ConfigError naming every setting that is wrong */
export const toDeliverySettings = (overrides: Partial<DeliverySettings> = {}): DeliverySettings =>
  parseOptions(options, overrides, 'startDelivery', 'settings')

/** The setting of delivery that the Router needs: whether brokers may create missing topics. */
export const topicSettingsOf = ({ createTopics }: Partial<DeliverySettings> = {}): RouterSettingsOverrides =>
  createTopics === undefined ? {} : { allowAutoTopicCreation: createTopics }
