import type { Handlers } from './link.js'
import type { Entering, Leaving, ParentServes } from './messages.js'

/**
 * Requests in flight of principals whose number is limited, at all workers together. Each has an id: a worker that got no
 * answer in time ends the request whether it was counted or not, and one that is ended twice counts once.
 */
export class RequestsInFlight {
  /** Ids by principal and worker. */
  readonly #requests = new Map<string, Map<number, Set<number>>>()

  /** What a worker asks and tells. */
  handlersOf(worker: number): Pick<Handlers<ParentServes>, 'enter' | 'leave'> {
    return {
      enter: asked => this.#enter(worker, asked),
      leave: told => this.#leave(worker, told)
    }
  }

  /** Its requests have ended with it. */
  gone(worker: number): void {
    for (const [principal, byWorker] of this.#requests) {
      byWorker.delete(worker)
      if (byWorker.size === 0) this.#requests.delete(principal)
    }
  }

  #enter(worker: number, { principal, maxRequests, id }: Entering): boolean {
    const byWorker = this.#requests.get(principal) ?? new Map<number, Set<number>>()
    const count = [...byWorker.values()].reduce((sum, ids) => sum + ids.size, 0)
    if (count >= maxRequests) return false
    this.#requests.set(principal, byWorker.set(worker, (byWorker.get(worker) ?? new Set()).add(id)))
    return true
  }

  #leave(worker: number, { principal, id }: Leaving): void {
    const byWorker = this.#requests.get(principal)
    const ids = byWorker?.get(worker)
    ids?.delete(id)
    if (ids?.size === 0) byWorker?.delete(worker)
    if (byWorker?.size === 0) this.#requests.delete(principal)
  }
}
