import type { AnyAccepted, Holder, Ledger } from '../processors/accepted.js'

/** What a parked request waits for: `topic:orders`, `group:billing`, `node:3`, `anyNode`, or a rest of its own. */
export type ParkingPlace = string

/**
 * For whose news a request waits: a topic that is known (or anything else), a name that has not been looked up yet, or
 * one that a broker has said is missing. Each may fill a share of the room, so that invented names leave room for
 * elections, and those that are known to be missing leave room for those that may exist.
 */
export type ParkingClass = 'known' | 'fresh' | 'missed'

const SHARE_OF_MISSED = 0.5
const SHARE_OF_UNKNOWN = 0.75

export interface ParkingOptions {
  readonly ledger: Ledger
  readonly limit: number
  /** Has to give way to somebody who waits at a place with fewer. */
  readonly onEvicted: (request: AnyAccepted) => void
  /** The last one at a place has left by itself: answered, or its time was up. */
  readonly onEmpty: (place: ParkingPlace) => void
}

/**
 * Requests that cannot go anywhere yet, by what they wait for; each place in arrival order. When all room is in use, who
 * comes to a place with few displaces the last one of a place with many, so that no topic can take the room of the others.
 */
export class Parking {
  readonly #options: ParkingOptions
  readonly #places = new Map<ParkingPlace, Place>()
  /** Places by magnitude of how many wait there: 1, 2-3, 4-7, ... */
  readonly #bySize: Set<Place>[] = []
  readonly #sizes: Record<ParkingClass, number> = { known: 0, fresh: 0, missed: 0 }

  constructor(options: ParkingOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#sizes.known + this.#sizes.fresh + this.#sizes.missed
  }

  /** False when there is no room. */
  park(at: ParkingPlace, request: AnyAccepted, as: ParkingClass = 'known'): boolean {
    const { limit, ledger } = this.#options
    const { fresh, missed } = this.#sizes
    if (as === 'missed' && missed >= limit * SHARE_OF_MISSED) return false
    if (as !== 'known' && missed + fresh >= limit * SHARE_OF_UNKNOWN) return false
    const place = this.#places.get(at) ?? new Place(at, this)
    if (this.size >= limit && !this.#displaceFor(place)) return false
    this.#places.set(at, place)
    this.#sizes[as]++
    this.#resize(place, () => place.add(request, as))
    request.heldBy(place)
    ledger.watch(request)
    return true
  }

  has(at: ParkingPlace): boolean {
    return this.#places.has(at)
  }

  /** Everyone at a place, who leaves it. */
  take(at: ParkingPlace): AnyAccepted[] {
    const place = this.#places.get(at)
    if (!place) return []
    const requests = [...place.requests.keys()]
    for (const request of requests) this.leave(place, request)
    for (const request of requests) request.heldBy(undefined)
    return requests
  }

  /** Everyone at every place. */
  takeAll(): AnyAccepted[] {
    return [...this.#places.keys()].flatMap(at => this.take(at))
  }

  /** Somebody has left by himself. */
  left(place: Place, request: AnyAccepted): void {
    if (this.leave(place, request) && place.requests.size === 0) this.#options.onEmpty(place.at)
  }

  leave(place: Place, request: AnyAccepted): boolean {
    const as = place.requests.get(request)
    if (!as) return false
    this.#sizes[as]--
    this.#resize(place, () => place.requests.delete(request))
    if (place.requests.size === 0 && this.#places.get(place.at) === place) this.#places.delete(place.at)
    return true
  }

  #displaceFor(place: Place): boolean {
    while (this.#bySize.at(-1)?.size === 0) this.#bySize.pop()
    const magnitude = this.#bySize.length - 1
    if (magnitude <= magnitudeOf(place.requests.size + 1)) return false
    const [largest] = this.#bySize[magnitude]!
    this.#options.onEvicted(largest!.last())
    return this.size < this.#options.limit
  }

  #resize(place: Place, change: () => void): void {
    const before = magnitudeOf(place.requests.size)
    change()
    const after = magnitudeOf(place.requests.size)
    if (before === after) return
    this.#bySize[before]?.delete(place)
    if (after < 0) return
    while (this.#bySize.length <= after) this.#bySize.push(new Set())
    this.#bySize[after]!.add(place)
  }
}

/** 1 => 0, 2 and 3 => 1, 4 to 7 => 2; none => -1 */
const magnitudeOf = (count: number): number => 31 - Math.clz32(count)

const SLACK = 16

class Place implements Holder {
  readonly at: ParkingPlace
  readonly requests = new Map<AnyAccepted, ParkingClass>()
  readonly #parking: Parking
  /** As they came, those that have left included for a while. */
  #order: AnyAccepted[] = []

  constructor(at: ParkingPlace, parking: Parking) {
    this.at = at
    this.#parking = parking
  }

  add(request: AnyAccepted, as: ParkingClass): void {
    this.requests.set(request, as)
    this.#order.push(request)
    if (this.#order.length > 2 * this.requests.size + SLACK) this.#order = [...this.requests.keys()]
  }

  /** Who came last, of those that are still here. */
  last(): AnyAccepted {
    let last = this.#order.at(-1)!
    while (!this.requests.has(last)) {
      this.#order.pop()
      last = this.#order.at(-1)!
    }
    return last
  }

  release(request: AnyAccepted): void {
    this.#parking.left(this, request)
  }
}
