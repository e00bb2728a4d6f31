import type { MonotonicClock } from '../../core/model.js'
import { STATUS_VERSION, type Status, type StatusPart } from './status.js'
import { troubleOf } from './trouble.js'

/** An answer is given to all who ask within this time, so that many readers cost as much as one. */
const SHARED_FOR_MS = 500

/** Gives the status of the whole gateway. */
export interface StatusSource {
  status(): Promise<Status>
}

/** Makes the answer. */
export function statusOf(gateway: Status['gateway'], whole: StatusPart, nowMs: number): Status {
  const judged = { version: STATUS_VERSION, at: new Date(nowMs).toISOString(), gateway, ...whole } as const
  return { ...judged, trouble: troubleOf(judged) }
}

/** Reads the status when it is asked for, one look for all who ask at the same time. */
export class SharedStatus implements StatusSource {
  readonly #read: () => Promise<Status>
  readonly #clock: MonotonicClock
  #reading: Promise<Status> | undefined
  #readAt = Number.NEGATIVE_INFINITY

  constructor(read: () => Promise<Status>, clock: MonotonicClock) {
    this.#read = read
    this.#clock = clock
  }

  status(): Promise<Status> {
    if (this.#reading === undefined || this.#clock() - this.#readAt > SHARED_FOR_MS) {
      this.#readAt = this.#clock()
      const reading = this.#read()
      this.#reading = reading
      // A failure is not shared with those who ask later.
      reading.catch(() => {
        if (this.#reading === reading) this.#reading = undefined
      })
    }
    return this.#reading
  }
}
