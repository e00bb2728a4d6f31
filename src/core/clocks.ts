import type { MonotonicClock } from './model.js'

/** The clock of the process. */
export const performanceClock: MonotonicClock = () => performance.now()

/**
 * How far this clock is ahead of another one, at the least, in milliseconds; negative: behind.
 *
 * @param theirs what the other one told, at some moment of the last `withinMs`
 */
export const aheadMsOf = (theirs: number, own: number, withinMs: number): number =>
  own < theirs ? own - theirs : Math.max(0, own - theirs - withinMs)
