import { z } from 'zod'
import { bytes, host, listenPort } from '../../core/settings/units.js'

/** The parts in which the common settings differ between APIs. */
export interface CommonDefaults {
  /** Its prefix on the shared port. */
  readonly prefix: string
  /** End of the sentence about its own port: `, as kprf had 4242`. */
  readonly portNote?: string
  readonly maxBodyBytes: number
  /** A sentence about the original's limit. */
  readonly bodyNote?: string
}

/** The settings that every API has, to be spread into its section. */
export const commonSettings = ({ prefix, portNote = '', maxBodyBytes, bodyNote }: CommonDefaults) => ({
  enabled: z.boolean().default(true).describe('Serves this API'),
  host: host.optional().describe("Listening address of the API's own port; absent: that of `http.host`"),
  port: listenPort
    .optional()
    .describe(`A port of its own, without the prefix \`${prefix}\`${portNote}; 0: any free one. Absent: none`),
  tls: z
    .enum(['inherit', 'off'])
    .default('inherit')
    .describe('TLS of that port: `inherit` as in `http.tls`, `off` for clients that cannot speak it'),
  maxBodyBytes: bytes
    .default(maxBodyBytes)
    .describe(`One request body; more is answered 413${bodyNote === undefined ? '' : `. ${bodyNote}`}`)
})

/**
 * Where records are kept whose request is answered before Kafka has them.
 *
 * @param records what they are called: `asynchronous records`
 * @param note what is added to the loss of those in memory: `, as kprf does`
 */
export const asyncDurability = (records: string, note = '') =>
  z
    .enum(['memory', 'disk'])
    .default('memory')
    .describe(
      `Where ${records} are kept until Kafka has them: \`disk\` answers when the durable log has synced them, and delivers them after a crash, too; \`memory\` loses them with the process${note}`
    )

/** The settings of an API as the app, the checks and the listeners use them. */
export type ApiSettings = z.output<z.ZodObject<ReturnType<typeof commonSettings>>>
