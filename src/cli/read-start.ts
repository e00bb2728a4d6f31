import type { ReadStart } from '../consumer/stream/partition-reader.js'
import { UsageError } from './usage-error.js'

/**
 * Parses the value of `--from`:
 *
 *   earliest | latest       the ends
 *   42                      an offset
 *   -10                     the last ten of each partition
 *   2026-11-20T10:00:00Z    the first record at or after a time
 *   @1795000000000          the same in epoch milliseconds
 *
 * @throws UsageError for anything else
 */
export function toReadStart(text: string): ReadStart {
  if (text === 'earliest' || text === 'latest') return text
  if (/^\d{1,15}$/.test(text)) return { offset: Number(text) }
  if (/^-\d{1,15}$/.test(text)) return { last: -Number(text) }
  if (/^@\d{1,15}$/.test(text)) return { timestampMs: Number(text.slice(1)) }
  const timestampMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(timestampMs)) return { timestampMs }
  throw new UsageError(
    `--from takes earliest, latest, an offset, -N for the last N, a time such as 2026-11-20T10:00:00Z, or @MILLISECONDS, not "${text}"`
  )
}
