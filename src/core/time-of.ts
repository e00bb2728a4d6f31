/** Matches the date at the beginning of a text. */
const DAY = /^(\d{4})-(\d\d)-(\d\d)/

/**
 * Epoch milliseconds of a text that begins with a day, such as 2026-02-28 or 2026-02-28T10:00:00Z. `NaN`: it is no time, or
 * its month does not have the day, such as 2026-02-30, which `Date.parse` takes for 2 March.
 */
export function timeOf(text: string): number {
  const [, year, month, day] = DAY.exec(text) ?? []
  const daysOfMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
  return Number(day) <= daysOfMonth ? Date.parse(text) : Number.NaN
}
