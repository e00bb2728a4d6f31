import { countText, durationText, instantText } from '../status/units.js'

const JUST_NOW_MS = 2_500
const MS_PER_SECOND = 1_000
const SECONDS_PER_MINUTE = 60
const MINUTES_PER_HOUR = 60
const HOURS_PER_DAY = 24

/** Times of a record's way: three digits that mean something. */
export function millisecondsText(ms: number): string {
  if (ms >= 10_000) return `${(ms / MS_PER_SECOND).toFixed(0)} s`
  if (ms >= MS_PER_SECOND) return `${(ms / MS_PER_SECOND).toFixed(1)} s`
  return ms >= 100 ? `${ms.toFixed(0)} ms` : ms >= 10 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(2)} ms`
}

/** `upFor(3_700)` is `1 h 1 min`. */
export function upFor(seconds: number): string {
  const minutes = Math.floor(seconds / SECONDS_PER_MINUTE)
  const hours = Math.floor(minutes / MINUTES_PER_HOUR)
  const days = Math.floor(hours / HOURS_PER_DAY)
  if (days > 0) return `${days} d ${hours % HOURS_PER_DAY} h`
  if (hours > 0) return `${hours} h ${minutes % MINUTES_PER_HOUR} min`
  return minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`
}

/** An instant in UTC, as in the rows of troubles; with its date where that is not today's. */
export const instantOf = (instant: string | number): string => instantText(instant, new Date(Date.now()).toISOString())

/** How long ago something was; moments are not counted, for they would change with each look. */
export const agoText = (ms: number): string => (ms < JUST_NOW_MS ? 'now' : `${durationText(ms)} ago`)

export function rateText(perSecond: number): string {
  return perSecond >= 100 || perSecond === 0 ? countText(perSecond) : perSecond.toFixed(1)
}
