import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { commonSettings, durability, syncTimeoutMs } from '../../http/api/api.js'

export const cloudeventsSettings = z
  .strictObject({
    ...commonSettings(16 * MIB),
    durability: durability('memory'),
    syncTimeoutMs: syncTimeoutMs(60_000)
  })
  .prefault({})
  .describe('CloudEvents over HTTP, under `/events`')

export type CloudeventsSettings = z.output<typeof cloudeventsSettings>
