/** Beyond this many milliseconds from 1970, before or after it, a `Date` has no text. */
const MAX_INSTANT_MS = 8.64e15

/** Whether a value is milliseconds since 1970 that have a text. */
export const isInstant = (value: unknown): value is number =>
  typeof value === 'number' && Math.abs(value) <= MAX_INSTANT_MS
