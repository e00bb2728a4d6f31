import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { bytes, milliseconds, millisecondsOrZero, yesOrNo } from '../../core/settings/units.js'
import { commonSettings, durability } from '../../http/api/api.js'

/** The settings of Arion's API. `castellan arion` sets most of them from Arion's environment variables. */
export const arionSettings = z
  .strictObject({
    ...commonSettings(16 * MIB),
    durability: durability('disk'),
    partitioner: z
      .enum(['javaHashCode', 'murmur2'])
      .default('javaHashCode')
      .describe(
        'How a key finds its partition: `javaHashCode` as Arion did, `murmur2` as the Java client and most others do'
      ),
    maxMessageBytes: bytes
      .default(1_000_000)
      .describe('One message, without its key; more is answered 400, and closes a websocket with code 1009'),
    idleTimeoutMs: millisecondsOrZero
      .default(15_000)
      .describe(
        'A connection on which the client sends nothing for this long is closed; 0: the limits of `http` apply alone'
      ),
    syncTimeoutMs: milliseconds
      .optional()
      .describe('A synchronous request is answered 504 after this. Absent: it waits as long as its connection lasts'),
    producesByGet: yesOrNo(false)
      .describe('Whether `GET /sync/…` and `GET /async/…` produce an empty message, as they did in Arion; else 404')
      .meta({ advanced: true })
  })
  .prefault({})
  .describe('The API of Arion, under `/arion`')

export type ArionSettings = z.output<typeof arionSettings>
