/** Limits of a random factor, by which a pause is multiplied. */
interface Spread {
  readonly from: number
  readonly to: number
}

const HALF_TO_WHOLE: Spread = { from: 0.5, to: 1 }
export const A_FIFTH_AROUND: Spread = { from: 0.8, to: 1.2 }

/**
 * A pause that doubles with every retry: `firstMs * 2^retries`, at most `maxMs`. It is multiplied by a random factor,
 * so that clients that fail at the same time do not retry at the same time.
 *
 *   backoffMs(0, 100, 10_000, random)  =>  50..100
 *   backoffMs(3, 100, 10_000, random)  =>  400..800
 */
export function backoffMs(
  retries: number,
  firstMs: number,
  maxMs: number,
  random: () => number,
  { from, to }: Spread = HALF_TO_WHOLE
): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(retries, 30)) * (from + (to - from) * random())
}
