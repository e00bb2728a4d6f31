import { z } from 'zod'
import { bytes, count, host, listenPort, milliseconds } from './units.js'

const MIB = 1024 * 1024

const rateLimitRule = z.strictObject({
  topic: z.string().describe('The topic; its name as clients write it'),
  maxPerMinute: z.number().int().nonnegative().describe('Most records within any 60 seconds; 0 means no limit')
})

/** kprf's API: what is its own. Its limits come on top of those in `http` and `delivery`. */
export const kprfSettings = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Whether this API is served at all'),
    host: host.optional().describe('Address of the port of its own; absent: that of `http.host`'),
    port: listenPort
      .optional()
      .describe('A port of its own, without the prefix `/kprf`, as kprf had 4242; 0: any free one. Absent: none'),
    tls: z
      .enum(['inherit', 'off'])
      .default('inherit')
      .describe('TLS of that port: `inherit` as in `http.tls`, `off` for clients that cannot speak it'),
    whenFull: z
      .enum(['refuse', 'drop'])
      .default('refuse')
      .describe(
        'What an asynchronous record gets that finds the buffer full: `refuse` says so (500), `drop` answers 200 and loses it, as kprf does'
      ),
    failureWord: z
      .string()
      .regex(/^[ !#-[\]-~]{1,64}$/, { error: 'use up to 64 printable characters without quote and backslash' })
      .default('err')
      .describe('The `status` of an answer that names failures. Versions of kprf before 0.2.0 said `error`'),
    messageTimeoutMs: milliseconds
      .default(2_000)
      .describe('A synchronous request is answered within this; what has not been delivered then has failed'),
    asyncTimeoutMs: milliseconds
      .default(120_000)
      .describe('How long a record of an asynchronous request waits for Kafka before it is given up and counted'),
    maxBodyBytes: bytes.default(16 * MIB).describe('One request body; more is answered 413. kprf had no limit'),
    maxRecordsPerRequest: count.default(100_000).describe('Records of one request; more is answered 413'),
    messageMaxBytes: bytes
      .min(1_000)
      .default(1 * MIB)
      .describe('Key and value of one record together, less 36 bytes; more fails as `MessageSizeTooLarge`'),
    ratelimit: z
      .strictObject({
        enabled: z.boolean().default(false).describe('Whether the rules apply'),
        rules: z.array(rateLimitRule).default([]).describe('One limit per topic; the last one of a topic counts')
      })
      .prefault({})
      .describe('Limits per topic and minute. A synchronous record beyond it fails, an asynchronous one is dropped')
  })
  .prefault({})
  .describe('The API of kprf, under `/kprf`')

export type KprfSettings = z.output<typeof kprfSettings>
