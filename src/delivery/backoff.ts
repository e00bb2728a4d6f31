/** Where a first retry after a change of leader is tried: the new one is known within moments or not at all. */
const SOON_MS = 15
const JITTER = 0.2

/** Doubles with every attempt up to a maximum, plus or minus a fifth, so that lanes do not retry in step. */
export function backoffMs(attempt: number, firstMs: number, maxMs: number, random: () => number): number {
  const exact = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30))
  return exact * (1 - JITTER + 2 * JITTER * random())
}

/** For the first retry after a change of leader, where waiting does not help. */
export const soonMs = (random: () => number): number => SOON_MS * (0.5 + random())
