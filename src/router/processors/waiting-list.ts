import type { AnyAccepted } from '../requests/accepted.js'
import { stillOpen } from './queue-processor.js'

/** Requests in order of arrival. Those that were answered meanwhile, such as at their deadline, are left out when taken. */
export class WaitingList<Waiter extends AnyAccepted> {
  #waiting: Waiter[] = []

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  add(request: Waiter): void {
    this.#waiting.push(request)
  }

  takeFirst(): Waiter | undefined {
    this.#waiting = stillOpen(this.#waiting)
    return this.#waiting.shift()
  }

  takeAll(): Waiter[] {
    const waiting = stillOpen(this.#waiting)
    this.#waiting = []
    return waiting
  }
}
