import type { Handlers } from './link.js'
import type { Entering, ParentServes } from './messages.js'

/** Requests in flight of principals whose number is limited, at all workers together. */
export class RequestsInFlight {
  /** By principal and worker. */
  readonly #counts = new Map<string, Map<number, number>>()

  /** What a worker asks and tells. */
  handlersOf(worker: number): Pick<Handlers<ParentServes>, 'enter' | 'leave'> {
    return {
      enter: asked => this.#enter(worker, asked),
      leave: principal => this.#leave(worker, principal)
    }
  }

  /** Its requests have ended with it. */
  gone(worker: number): void {
    for (const [principal, counts] of this.#counts) {
      counts.delete(worker)
      if (counts.size === 0) this.#counts.delete(principal)
    }
  }

  #enter(worker: number, { principal, maxRequests }: Entering): boolean {
    const counts = this.#counts.get(principal) ?? new Map<number, number>()
    const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
    if (all >= maxRequests) return false
    this.#counts.set(principal, counts.set(worker, (counts.get(worker) ?? 0) + 1))
    return true
  }

  #leave(worker: number, principal: string): void {
    const counts = this.#counts.get(principal)
    const left = (counts?.get(worker) ?? 0) - 1
    if (left > 0) counts!.set(worker, left)
    else counts?.delete(worker)
    if (counts?.size === 0) this.#counts.delete(principal)
  }
}
