import { TimedOutError } from '../errors.js'

/** Longest delay of a timer in Node, 24.8 days; a timer with a longer delay fires at once. */
export const MAX_TIMER_MS = 0x7fffffff

/** Where a result goes. Called exactly once, on the event loop; must not throw. */
export interface Requester<in Result> {
  reply(result: Result): void
}

/**
 * Sends one request and waits for its result.
 *
 * @param send called once, synchronously, with the address to reply to
 * @throws TimedOutError when no reply came within `timeoutMs`; the Router answers earlier, so this covers only a
 * Router that is gone
 */
export function ask<Result>(
  what: string,
  timeoutMs: number,
  send: (requester: Requester<Result>) => void
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TimedOutError(what, timeoutMs)), Math.min(timeoutMs, MAX_TIMER_MS))
    const requester: Requester<Result> = {
      reply(result) {
        clearTimeout(timer)
        resolve(result)
      }
    }
    try {
      send(requester)
    } catch (error) {
      clearTimeout(timer)
      reject(error)
    }
  })
}
