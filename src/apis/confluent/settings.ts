import { z } from 'zod'
import { count, milliseconds } from '../../core/settings/units.js'
import { commonSettings, durability, syncTimeoutMs } from '../../http/api/api.js'

const MIB = 1024 * 1024
const DAY_MS = 24 * 60 * 60 * 1_000

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
        'Where topics are created, changed and deleted while no rules of `access` say who may: `ownPort` on the port of the API, `everywhere` on the shared port as well. Rules decide on every port. `off`: nowhere, whatever the rules'
      ),
    lookUpTimeoutMs: milliseconds
      .default(10_000)
      .describe('Requests about topics, offsets, groups and the cluster are answered within this')
      .meta({ advanced: true }),
    maxRecordsPerRequest: count
      .default(100_000)
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
      .default(DAY_MS)
      .describe(
        'Age from which a stream takes no further record: the next one is answered 408, and the stream ends (`streaming.connection.max.duration.ms`)'
      )
      .meta({ advanced: true })
  })
  .prefault({})
  .describe("Confluent's API, under `/confluent`")

export type ConfluentSettings = z.output<typeof confluentSettings>
