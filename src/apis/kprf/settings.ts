import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { bytes, listenPort, milliseconds, yesOrNo } from '../../core/settings/units.js'
import { commonSettings, durability, whenFull } from '../../http/api/api.js'

const rateLimitRule = z.strictObject({
  topic: z.string().describe('The topic; its name as clients write it'),
  maxPerMinute: z.number().int().nonnegative().describe('Limit of records within any 60 seconds; 0 means no limit')
})

/** The settings of kprf's API. Its limits apply in addition to those in `http` and `delivery`. */
export const kprfSettings = z
  .strictObject({
    ...commonSettings(16 * MIB),
    metricsPort: listenPort
      .optional()
      .describe(
        "A port for kprf's own metrics alone, at `/metrics`, as kprf had 8088; 0: any free one. Absent: none. Its address is that of `host`"
      ),
    durability: durability('memory'),
    whenFull,
    failureWord: z
      .string()
      .regex(/^[ !#-[\]-~]{1,64}$/, { error: 'use up to 64 printable characters without quote and backslash' })
      .default('err')
      .describe('The `status` of an answer that names failures. Versions of kprf before 0.2.0 said `error`')
      .meta({ advanced: true }),
    messageTimeoutMs: milliseconds
      .default(2_000)
      .describe('A synchronous request is answered within this; what has not been delivered then has failed'),
    messageMaxBytes: bytes
      .min(1_000)
      .default(1 * MIB)
      .describe('Key and value of one record together, less 36 bytes; more fails as `MessageSizeTooLarge`'),
    ratelimit: z
      .strictObject({
        enabled: yesOrNo(false).describe('Whether the rules apply'),
        answer: z
          .enum(['original', 'tooManyRequests'])
          .default('original')
          .describe(
            'Status of a request with a record beyond a limit: `original` 500 in sync and 200 in async, as kprf does; `tooManyRequests` 429 with `Retry-After` in both'
          ),
        rules: z.array(rateLimitRule).default([]).describe('One limit per topic; the last one of a topic counts')
      })
      .prefault({})
      .describe('Limits per topic and minute. A synchronous record beyond it fails, an asynchronous one is dropped')
  })
  .prefault({})
  .describe('The API of kprf, under `/kprf`')

/** Secret path of the metrics below the prefix. Only requests to the metrics port are routed to it. */
export const METRICS_PATH = `/${randomUUID()}`

export type KprfSettings = z.output<typeof kprfSettings>
