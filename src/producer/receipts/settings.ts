import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { defaultsOf } from '../../core/settings/options.js'
import { bytesOrZero, HOUR_MS, millisecondsOrZero } from '../../core/settings/units.js'

const section = z.strictObject({
  retentionMs: millisecondsOrZero
    .default(24 * HOUR_MS)
    .describe('How long it is known what became of a settled record; later its receipt is 410'),
  maxBytes: bytesOrZero
    .default(256 * MIB)
    .describe('Disk space for what became of records, per durable log. 0: no receipts are given')
})

/** The section `receipts` of the configuration. */
export const receiptSettings = section
  .prefault({})
  .describe('Receipts, by which clients ask what became of their records, explained in [receipts.md](receipts.md)')

/** The same as options of the library. */
export const receiptOptions = section.prefault({})

export type ReceiptSettings = Readonly<z.output<typeof section>>
export const defaultReceiptSettings: ReceiptSettings = defaultsOf(section)
