import type { GroupHands, Timer } from './group-runtime.js'

export interface HandOverOptions {
  readonly hands: GroupHands
  /** How long it waits for acknowledgements. */
  readonly graceMs: number
  /** How long it waits for the commit. */
  readonly commitLimitMs: number
  /** Whether everything that was offered is acknowledged. */
  readonly isSettled: () => boolean
  readonly commit: (done: () => void) => void
  /** The partitions may be given away. */
  readonly ready: () => void
}

interface HandOver {
  check(): void
  cancel(): void
}

/**
 * Waits until partitions can be given away: for acknowledgements, then for their commit, both for a limited time. A stop may
 * begin while the partitions are handed over for a rebalance.
 */
export class HandOvers {
  readonly #open = new Set<HandOver>()

  begin({ hands, graceMs, commitLimitMs, isSettled, commit, ready }: HandOverOptions): void {
    let limit: Timer | undefined
    const end = (): void => {
      limit?.cancel()
      if (this.#open.delete(handOver)) ready()
    }
    const beginCommit = (): void => {
      if (limit !== undefined) return
      grace.cancel()
      limit = hands.after(commitLimitMs, end)
      commit(end)
    }
    const grace = hands.after(graceMs, beginCommit)
    const handOver: HandOver = {
      check: () => {
        if (isSettled()) beginCommit()
      },
      cancel: () => {
        grace.cancel()
        limit?.cancel()
      }
    }
    this.#open.add(handOver)
    handOver.check()
  }

  /** An acknowledgement has come: those that wait for nothing else go on. */
  check(): void {
    for (const handOver of [...this.#open]) handOver.check()
  }

  /** Ends all of them without a word: the member has left the group. */
  cancel(): void {
    for (const handOver of this.#open) handOver.cancel()
    this.#open.clear()
  }
}
