import type { AnyAccepted, Holder, Ledger } from '../processors/accepted.js'

/** What a parked request waits for: `topic:orders`, `group:billing`, `node:3`, `anyNode`, or a rest of its own. */
export type ParkingPlace = string

/** Requests that cannot go anywhere yet, by what they wait for; each place in arrival order. */
export class Parking {
  readonly #ledger: Ledger
  readonly #limit: number
  readonly #places = new Map<ParkingPlace, Place>()
  #size = 0

  constructor(ledger: Ledger, limit: number) {
    this.#ledger = ledger
    this.#limit = limit
  }

  get size(): number {
    return this.#size
  }

  /**
   * False when there is no room.
   *
   * @param share of all room that may be in use for it to be let in; less than 1 keeps the rest for others
   */
  park(at: ParkingPlace, request: AnyAccepted, share = 1): boolean {
    if (this.#size >= this.#limit * share) return false
    let place = this.#places.get(at)
    if (!place) {
      place = new Place(() => {
        this.#size--
        if (place!.requests.size === 0 && this.#places.get(at) === place) this.#places.delete(at)
      })
      this.#places.set(at, place)
    }
    this.#size++
    place.requests.add(request)
    request.heldBy(place)
    this.#ledger.watch(request)
    return true
  }

  has(at: ParkingPlace): boolean {
    return this.#places.has(at)
  }

  /** Everyone at a place, who leaves it. */
  take(at: ParkingPlace): AnyAccepted[] {
    const place = this.#places.get(at)
    if (!place) return []
    this.#places.delete(at)
    const requests = [...place.requests]
    for (const request of requests) request.heldBy(undefined)
    return requests
  }

  /** Everyone at every place. */
  takeAll(): AnyAccepted[] {
    return [...this.#places.keys()].flatMap(at => this.take(at))
  }
}

class Place implements Holder {
  readonly requests = new Set<AnyAccepted>()
  readonly #onLeft: () => void

  constructor(onLeft: () => void) {
    this.#onLeft = onLeft
  }

  release(request: AnyAccepted): void {
    if (this.requests.delete(request)) this.#onLeft()
  }
}
