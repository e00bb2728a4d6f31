import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { HOUR_MS, milliseconds } from '../../core/settings/units.js'

/** The section `idempotency` of the configuration. */
export const idempotencySettings = z
  .strictObject({
    windowMs: milliseconds.default(24 * HOUR_MS).describe('How long an `Idempotency-Key` is remembered'),
    maxBytes: z
      .int()
      .min(MIB)
      .default(256 * MIB)
      .describe(
        'Memory for keys and for answers of routes that keep records in memory, and as much space on the disk for answers of other routes. When either is used up, new keys are answered 503'
      )
  })
  .prefault({})
  .describe('Keys of requests to produce, explained in [idempotency.md](idempotency.md)')

export type IdempotencySettings = z.output<typeof idempotencySettings>
