import type { AnyAccepted } from '../requests/accepted.js'
import { stillOpen } from './queue-processor.js'

/** Requests that wait, by the group they ask about; groups come in the order of their first request. */
export class GroupWaiters<Waiter extends AnyAccepted & { readonly request: { readonly groupId: string } }> {
  readonly #waiting = new Map<string, Waiter[]>()

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  add(request: Waiter): void {
    const { groupId } = request.request
    const waiting = this.#waiting.get(groupId)
    if (waiting) waiting.push(request)
    else this.#waiting.set(groupId, [request])
  }

  /** The next group, and all requests about it that still want an answer. */
  take(): { readonly groupId: string; readonly waiters: readonly Waiter[] } | undefined {
    for (const [groupId, waiting] of this.#waiting) {
      this.#waiting.delete(groupId)
      const waiters = stillOpen(waiting)
      if (waiters.length > 0) return { groupId, waiters }
    }
    return undefined
  }

  drain(): AnyAccepted[] {
    const waiting = stillOpen([...this.#waiting.values()].flat())
    this.#waiting.clear()
    return waiting
  }
}
