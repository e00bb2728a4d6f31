const UNITS: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  // The sign for micro, and the Greek letter.
  ['\u00b5s', 1e-3],
  ['\u03bcs', 1e-3],
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000]
])
const PART = String.raw`(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)`
const WHOLE = new RegExp(`^[+-]?(?:${PART})+$`)

/**
 * Whole milliseconds of a duration as Go writes it; `undefined`: it is none.
 *
 *   1m30s => 90000    250ms => 250    1.5s => 1500
 */
export function goDurationMs(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0
  if (!WHOLE.test(text)) return undefined
  const parts = text.matchAll(new RegExp(PART, 'g'))
  const totalMs = [...parts].reduce((sum, [, amount, unit]) => sum + Number(amount) * UNITS.get(unit!)!, 0)
  return Math.round(text.startsWith('-') ? -totalMs : totalMs)
}
