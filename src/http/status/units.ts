import { isoOf } from '../../core/instants.js'

const KIB = 1024
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

const TIME_UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's']
] as const

const ROUNDED_FROM = 10

/** `durationText(90_000)` is `1.5 min`. */
export function durationText(ms: number): string {
  const [size, unit] = TIME_UNITS.find(([least]) => Math.abs(ms) >= least) ?? [1, 'ms']
  return `${rounded(ms / size)} ${unit}`
}

/** `bytesText(1536)` is `1.5 KiB`. */
export function bytesText(bytes: number): string {
  let [value, unit] = [bytes, 0]
  for (; value >= KIB && unit < BYTE_UNITS.length - 1; unit++) value /= KIB
  return `${rounded(value)} ${BYTE_UNITS[unit]}`
}

export const percentText = (share: number): string => `${Math.round(share * 100)} %`

/** Thousands are set apart: `12 345`. */
export const countText = (count: number): string => String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ' ')

/** `countOf(1, 'record')` is `1 record`; `countOf(2, 'record')` is `2 records`. */
export const countOf = (count: number, one: string): string => `${countText(count)} ${one}${count === 1 ? '' : 's'}`

/** `firstOf(['a', 'b', 'c'], 2)` is `a, b and 1 more`. */
export function firstOf(names: readonly string[], most: number): string {
  const more = names.length > most ? ` and ${names.length - most} more` : ''
  return `${names.slice(0, most).join(', ')}${more}`
}

const rounded = (value: number): string =>
  Math.abs(value) >= ROUNDED_FROM || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1)

/**
 * `2026-11-20T21:00:00.000Z` => `21:00:00 UTC`; on another day than `now`: `2026-11-20 21:00:00 UTC`.
 *
 * @param instant in milliseconds since 1970 where it is a number: of a year beyond 9999 it is shown as a number
 */
export function instantText(instant: string | number, now: string): string {
  const text = isoOf(typeof instant === 'number' ? instant : Date.parse(instant))
  if (text === null) return `timestamp ${instant}`
  const isToday = text.slice(0, 10) === now.slice(0, 10)
  return `${isToday ? '' : `${text.slice(0, 10)} `}${text.slice(11, 19)} UTC`
}

const JUST_NOW_MS = 1_000

export const agoText = (ms: number): string => (ms < JUST_NOW_MS ? 'just now' : `${durationText(ms)} ago`)

/** `perSecondText(7.123)` is `7.1`. */
export const perSecondText = (rate: number): string =>
  rate >= ROUNDED_FROM ? countText(rate) : rate < 0.1 ? 'less than 0.1' : rounded(rate)
