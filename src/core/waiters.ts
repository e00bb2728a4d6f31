import { onAbort } from './ending.js'
import { MAX_TIMER_MS } from './model.js'

/** Waits for one event, each with its own limit. Nothing is left of a wait that has ended. */
export class Waiters {
  readonly #waiting = new Set<() => void>()

  get size(): number {
    return this.#waiting.size
  }

  /**
   * @param left ends the wait, because the event is not needed any more
   * @returns whether the event came in time
   */
  wait(limitMs: number, left?: AbortSignal): Promise<boolean> {
    if (left?.aborted === true) return Promise.resolve(false)
    return new Promise(resolve => {
      const end = (isInTime: boolean): void => {
        clearTimeout(timer)
        unlisten()
        this.#waiting.delete(wake)
        resolve(isInTime)
      }
      const wake = (): void => end(true)
      const leave = (): void => end(false)
      const timer = setTimeout(leave, Math.min(limitMs, MAX_TIMER_MS))
      const unlisten = onAbort(left, leave)
      this.#waiting.add(wake)
    })
  }

  wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}
