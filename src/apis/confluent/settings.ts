import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { count, HOUR_MS, milliseconds, yesOrNo } from '../../core/settings/units.js'
import { commonSettings, durability, MAX_RECORDS_OF_BODY, syncTimeoutMs } from '../../http/api/api.js'

/** The settings of Confluent's API. `castellan confluent` sets them from `kafka-rest.properties`. */
export const confluentSettings = z
  .strictObject({
    ...commonSettings(16 * MIB),
    durability: durability('memory'),
    syncTimeoutMs: syncTimeoutMs(60_000),
    recordMembers: z
      .enum(['original', 'headersAndTimestamp'])
      .default('original')
      .describe(
        'Further members of a record of version 2: `original` refuses them with 422; `headersAndTimestamp` takes `headers` (a list of `{"key","value"}`, the value in base64) and `timestamp` (epoch milliseconds), as the bridge of Strimzi does'
      ),
    administration: z
      .enum(['ownPort', 'everywhere', 'off'])
      .default('ownPort')
      .describe(
        'Where topics are created, changed and deleted without rules of `access`: `ownPort` on the port of the API, `everywhere` on the shared port as well. Rules decide on every port. `off`: nowhere, even if rules allow it'
      ),
    consumers: z
      .strictObject({
        advertisedUrl: z
          .url()
          .optional()
          .describe(
            'The address of the API in `base_uri`, for clients behind a proxy (`advertised.listeners`). Default: as the client has reached it'
          ),
        start: z
          .enum(['earliest', 'latest', 'none'])
          .default('latest')
          .describe(
            'Where an instance begins in partitions without a committed offset, if it does not say so (consumer.auto.offset.reset of the original)'
          ),
        autoCommit: yesOrNo(true).describe(
          'Whether an instance that does not say so commits every 5 s what its client has got (consumer.enable.auto.commit of the original)'
        ),
        idleMs: milliseconds
          .default(300_000)
          .describe(
            'An instance that is not used for this time is removed (consumer.instance.timeout.ms of the original)'
          ),
        maxWaitMs: milliseconds
          .default(1_000)
          .describe(
            'How long a read waits for records, if the instance does not say so (consumer.request.timeout.ms of the original)'
          )
          .meta({ advanced: true }),
        minBytes: z
          .int()
          .min(-1)
          .max(10_000_000)
          .default(-1)
          .describe(
            'A read waits for so many bytes of keys and values, if the instance does not say so (`fetch.min.bytes`); -1: for the first record'
          )
          .meta({ advanced: true })
      })
      .prefault({})
      .describe('Consumer instances of version 2'),
    maxRecordsPerRequest: count
      .max(MAX_RECORDS_OF_BODY)
      .default(MAX_RECORDS_OF_BODY)
      .describe('Records of one produce request that is no stream; more is answered 413')
      .meta({ advanced: true }),
    maxRecordsPerBatch: count
      .max(1_000)
      .default(10)
      .describe(
        'Entries of one request to `records:batch` (`api.v3.produce.batch.maximum.entries`); more is answered 422'
      )
      .meta({ advanced: true }),
    streamIdleMs: milliseconds
      .default(30_000)
      .describe('A stream of records that brings nothing for this long is ended (`idle.timeout.ms`)')
      .meta({ advanced: true }),
    streamMaxMs: milliseconds
      .default(24 * HOUR_MS)
      .describe(
        'Age from which a stream takes no further record: the next one is answered 408, and the stream ends (`streaming.connection.max.duration.ms`)'
      )
      .meta({ advanced: true })
  })
  .prefault({})
  .describe("Confluent's API, under `/confluent`")

export type ConfluentSettings = z.output<typeof confluentSettings>
