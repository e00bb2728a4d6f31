/** The first and the last millisecond of the years 0000 to 9999. RFC 3339 has no text for other years. */
const FIRST_MS = -62_167_219_200_000
const LAST_MS = 253_402_300_799_999

/** Whether a value is milliseconds since 1970 for which {@link isoOf} has a text. */
export const isInstant = (value: unknown): value is number =>
  typeof value === 'number' && value >= FIRST_MS && value <= LAST_MS

/**
 * A time as RFC 3339 writes it, in UTC: `2026-12-01T14:00:00.000Z`.
 *
 * @param epochMs milliseconds since 1970; a record of Kafka may have any number
 * @returns `null`: the time is not in the years 0000 to 9999
 */
export const isoOf = (epochMs: number): string | null => (isInstant(epochMs) ? new Date(epochMs).toISOString() : null)

/** The time of this machine, as RFC 3339 writes it. */
export const isoNow = (): string => isoOf(Date.now())!

/**
 * The timestamp of a record as answers tell it in a number: as it is in Kafka.
 *
 * @returns `null`: it is beyond 2^53, so that a number does not have it exactly
 */
export const exactTimestamp = (timestampMs: number): number | null =>
  Number.isSafeInteger(timestampMs) ? timestampMs : null

/**
 * The age of a record by its timestamp, in milliseconds.
 *
 * @param nowMs milliseconds since 1970
 * @returns `null`: the timestamp is below 0 (-1 stands for a record without one), or ahead of `nowMs`
 */
export const ageMsOf = (timestampMs: number, nowMs: number): number | null =>
  timestampMs >= 0 && timestampMs <= nowMs ? nowMs - timestampMs : null
