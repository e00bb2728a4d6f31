import type { GroupRuntime, Timer } from './group-runtime.js'

export interface Revoked {
  /** Time limit for acknowledgements. */
  readonly graceMs: number
  /** True when every acquired message is acknowledged. */
  readonly isSettled: () => boolean
  /** Called when the partitions may go to other members. */
  readonly ready: () => void
}

interface Revocation {
  check(): void
  cancel(): void
}

/**
 * Waits until partitions can go to other members: first for acknowledgements, then for their commit. Both waits have a
 * time limit. Several revocations may be open, because a stop may begin during a rebalance.
 */
export class Revocations {
  readonly #open = new Set<Revocation>()
  readonly #runtime: GroupRuntime
  readonly #commitLimitMs: number
  readonly #commit: (done: () => void) => void

  constructor(runtime: GroupRuntime, commitLimitMs: number, commit: (done: () => void) => void) {
    this.#runtime = runtime
    this.#commitLimitMs = commitLimitMs
    this.#commit = commit
  }

  begin({ graceMs, isSettled, ready }: Revoked): void {
    let limit: Timer | undefined
    const end = (): void => {
      limit?.cancel()
      if (this.#open.delete(revoke)) ready()
    }
    const beginCommit = (): void => {
      if (limit !== undefined) return
      grace.cancel()
      limit = this.#runtime.after(this.#commitLimitMs, end)
      this.#commit(end)
    }
    const grace = this.#runtime.after(graceMs, beginCommit)
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

  /** Called after an acknowledgement. Revocations that only waited for it continue. */
  check(): void {
    for (const revoke of [...this.#open]) revoke.check()
  }

  /** Ends all revocations without a callback, because the member has left the group. */
  cancel(): void {
    for (const revoke of this.#open) revoke.cancel()
    this.#open.clear()
  }
}
