import type { GroupRuntime, Timer } from './group-runtime.js'

export interface RevocationOptions {
  readonly runtime: GroupRuntime
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

interface Revocation {
  check(): void
  cancel(): void
}

/**
 * Waits until partitions can be given away: for acknowledgements, then for their commit, both for a limited time. A stop may
 * begin while the partitions are handed over for a rebalance.
 */
export class Revocations {
  readonly #open = new Set<Revocation>()

  begin({ runtime, graceMs, commitLimitMs, isSettled, commit, ready }: RevocationOptions): void {
    let limit: Timer | undefined
    const end = (): void => {
      limit?.cancel()
      if (this.#open.delete(revoke)) ready()
    }
    const beginCommit = (): void => {
      if (limit !== undefined) return
      grace.cancel()
      limit = runtime.after(commitLimitMs, end)
      commit(end)
    }
    const grace = runtime.after(graceMs, beginCommit)
    const revoke: Revocation = {
      check: () => {
        if (isSettled()) beginCommit()
      },
      cancel: () => {
        grace.cancel()
        limit?.cancel()
      }
    }
    this.#open.add(revoke)
    revoke.check()
  }

  /** An acknowledgement has come: those that wait for nothing else go on. */
  check(): void {
    for (const revoke of [...this.#open]) revoke.check()
  }

  /** Ends all of them without a word: the member has left the group. */
  cancel(): void {
    for (const revoke of this.#open) revoke.cancel()
    this.#open.clear()
  }
}
