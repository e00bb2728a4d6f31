import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { milliseconds, nonEmpty } from '../../core/settings/units.js'
import { commonSettings, durability, syncTimeoutMs } from '../../http/api/api.js'

/** The settings of the API of Strimzi's bridge. `castellan strimzi` sets them from `application.properties`. */
export const strimziSettings = z
  .strictObject({
    ...commonSettings(16 * MIB),
    durability: durability('memory'),
    syncTimeoutMs: syncTimeoutMs(60_000),
    bridgeId: nonEmpty
      .max(100)
      .optional()
      .describe(
        'Begins the names of consumers that are created without a name (`bridge.id`). Default: `kafka-bridge-consumer`'
      ),
    startFrom: z
      .enum(['earliest', 'latest', 'none'])
      .default('latest')
      .describe(
        'Where a consumer begins in partitions without a committed offset, if it does not say so (`kafka.consumer.auto.offset.reset`)'
      ),
    instanceIdleMs: milliseconds
      .optional()
      .describe(
        "A consumer that is not used for this time is removed (the bridge's `timeoutSeconds`). Absent: none is removed"
      ),
    corsMethods: z
      .array(z.enum(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD']))
      .min(1)
      .optional()
      .describe(
        "Methods and headers that browsers are told when they ask what pages of `http.allowedOrigins` may send: these methods (the bridge's `allowedMethods`), and the bridge's headers. Absent: as for all APIs"
      )
  })
  .prefault({})
  .describe("The API of Strimzi's Kafka Bridge, under `/strimzi`")

export type StrimziSettings = z.output<typeof strimziSettings>
