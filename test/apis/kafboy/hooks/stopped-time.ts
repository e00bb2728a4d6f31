import { setTimeout as sleep } from 'node:timers/promises'

/** Four times as fast as time: a desk, which looks at its deadlines every 100 ms, must not find them all over at once. */
const STEP_MS = 40

/**
 * The clock of hooks' deadlines, which stands still unless a test lets time pass: no machine is too slow for a hook that
 * decides, and nobody waits for one that does not.
 */
export class StoppedTime {
  nowMs = 0

  async passUntil(isOver: () => boolean): Promise<void> {
    for (; !isOver(); await sleep(10)) this.nowMs += STEP_MS
  }

  async passUntilSettled<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false
    const settled = promise.finally(() => (isSettled = true))
    await this.passUntil(() => isSettled)
    return settled
  }
}
