import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { bytes, bytesOrZero, count, milliseconds, nonEmpty, yesOrNo } from '../../core/settings/units.js'

const GIB = 1024 * MIB

const section = z
  .strictObject({
    directory: nonEmpty.default('castellan-data/wal').describe('Directory of the durable log, for this process alone'),
    segmentBytes: bytes
      .min(64 * 1024)
      .max(GIB)
      .default(64 * MIB)
      .describe(
        'Size of one file of the log. A file is removed once all its records are in Kafka. A record must fit into one'
      )
      .meta({ advanced: true }),
    maxBytes: bytes
      .default(10 * GIB)
      .describe('Limit of the log on disk, without dead letters; further records are refused as overload'),
    minFreeBytes: bytesOrZero
      .default(128 * MIB)
      .describe('Free space on the disk below which further records are refused as overload'),
    maxDeadLetterBytes: bytes
      .default(GIB)
      .describe(
        'Limit of records that Kafka has refused for good; beyond it, a refused record stays in the log and stops its partition'
      ),
    maxWaitingBytes: bytes
      .default(64 * MIB)
      .describe('Memory for records that wait for the disk; further records are refused as overload')
      .meta({ advanced: true }),
    readAheadBytes: bytes
      .default(64 * MIB)
      .describe(
        'Memory for records that were read from the log and wait for Kafka, all partitions of all clusters together. The rest of a backlog stays on disk'
      )
      .meta({ advanced: true }),
    timestamps: z
      .enum(['accepted', 'sent'])
      .default('accepted')
      .describe(
        'The time that a record from the log has in Kafka: when it was accepted, or when it was sent. A time that the caller has given stays. Has no effect on topics with `message.timestamp.type=LogAppendTime`'
      ),
    fsyncPuts: yesOrNo(true).describe(
      'Syncs a record to the disk before it is acknowledged. `false`: a record survives a power cut only after the next sync'
    ),
    fsyncTakes: yesOrNo(false)
      .describe(
        'Syncs what is remembered of deliveries, too. `false`: records that were delivered just before a power cut are delivered again'
      )
      .meta({ advanced: true }),
    fsyncThreshold: count
      .optional()
      .describe(
        'Syncs after this many records that were written or delivered. Only with `fsyncPuts` and `fsyncTakes` off'
      )
      .meta({ advanced: true }),
    fsyncIntervalMs: milliseconds
      .optional()
      .describe(
        'Syncs when the oldest record that is not synced is this old. Only with `fsyncPuts` and `fsyncTakes` off'
      )
      .meta({ advanced: true })
  })
  .superRefine((settings, context) => {
    if (!settings.fsyncPuts && !settings.fsyncTakes) return
    for (const name of ['fsyncThreshold', 'fsyncIntervalMs'] as const) {
      if (settings[name] === undefined) continue
      const message = 'syncs from time to time replace those of every record: set fsyncPuts and fsyncTakes to false'
      context.addIssue({ code: 'custom', path: [name], message })
    }
  })

/** The section for the library, which has no log unless the caller passes this section; hence no default. */
export const walOptions = section.optional()

/** The durable log: the section `wal` of the configuration. */
export const walSettings = section.prefault({}).describe('The durable log, for routes that keep records on disk')

/** Every limit of the durable log; docs/configuration.md describes them. */
export type WalSettings = Readonly<z.output<typeof section>>
