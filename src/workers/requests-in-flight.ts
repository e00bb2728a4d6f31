import type { Link } from './link.js'

/** What a worker asks: may one more request of a principal begin? */
export interface Entering {
  readonly principal: string
  readonly maxRequests: number
}

/** Requests in flight of principals whose number is limited, at all workers together. */
export class RequestsInFlight {
  /** By principal and worker. */
  readonly #counts = new Map<string, Map<number, number>>()

  serve(worker: number, link: Link): void {
    link.serve('enter', asked => this.#enter(worker, asked as Entering))
    link.serve('leave', principal => this.#leave(worker, principal as string))
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
