/**
 * Doubling pause with jitter, in [half, whole] of `firstMs * 2^attempt`, at most `maxMs`.
 *
 *   backoffMs(0, 100, 10_000, random)  =>  50..100
 *   backoffMs(3, 100, 10_000, random)  =>  400..800
 */
export function backoffMs(attempt: number, firstMs: number, maxMs: number, random: () => number): number {
  const whole = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 20))
  return whole / 2 + (random() * whole) / 2
}
