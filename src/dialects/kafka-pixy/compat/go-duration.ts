const UNITS: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3],
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000]
])
const WHOLE = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)/
const PART = /([\d.]+)(ns|us|µs|ms|s|m|h)/g

/**
 * Whole milliseconds of a duration as Go writes it; `undefined`: it is none.
 *
 *   1m30s => 90000    250ms => 250    1.5s => 1500
 */
export function goDurationMs(text: string): number | undefined {
  if (text === '0') return 0
  const parts = [...text.matchAll(PART)]
  if (!WHOLE.test(text) || text.replace(/^[+-]/, '').replace(PART, '') !== '') return undefined
  const totalMs = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * UNITS.get(unit!)!, 0)
  return Math.round(text.startsWith('-') ? -totalMs : totalMs)
}
