import type { AnyAccepted, Holder } from '../requests/accepted.js'
import type { OpenRequests } from '../requests/open-requests.js'

/** What a queued request waits for: `topic:orders`, `group:billing`, `node:3`, `anyNode`, or the end of its own pause. */
export type WaitingPlace = string

/**
 * What a request waits for: a known topic (or a group, or a broker), a name that has not been looked up yet, or a name that
 * a broker has said is missing. The last two may only use a share of all places, so that invented names leave places for
 * requests that wait for an election, and missing names leave places for names that may exist.
 */
export type WaitingClass = 'known' | 'fresh' | 'missed'

const SHARE_OF_MISSED = 0.5
const SHARE_OF_UNKNOWN = 0.75

export interface RequestQueuesOptions {
  readonly openRequests: OpenRequests
  readonly limit: number
  /** Called with a request that gives way to another one, which waits at a place with fewer requests. */
  readonly onEvicted: (request: AnyAccepted) => void
  /** Called when the last request at a place has been answered, or its time was up. */
  readonly onEmpty: (place: WaitingPlace) => void
}

/**
 * Requests that cannot be sent yet, by what they wait for, in the order in which they came. When the limit is reached, a
 * request for a place with few requests displaces the newest one at a place with many, so that no topic can use up all.
 */
export class RequestQueues {
  readonly #options: RequestQueuesOptions
  readonly #places = new Map<WaitingPlace, Place>()
  /** Places by how many requests wait there, in powers of two: 1, 2-3, 4-7, ... */
  readonly #bySize: Set<Place>[] = []
  readonly #sizes: Record<WaitingClass, number> = { known: 0, fresh: 0, missed: 0 }

  constructor(options: RequestQueuesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#sizes.known + this.#sizes.fresh + this.#sizes.missed
  }

  /** False when the limit is reached. */
  enqueue(at: WaitingPlace, request: AnyAccepted, as: WaitingClass = 'known'): boolean {
    const { limit, openRequests } = this.#options
    const { fresh, missed } = this.#sizes
    if (as === 'missed' && missed >= limit * SHARE_OF_MISSED) return false
    if (as !== 'known' && missed + fresh >= limit * SHARE_OF_UNKNOWN) return false
    const place = this.#places.get(at) ?? new Place(at, this)
    if (this.size >= limit && !this.#displaceFor(place)) return false
    this.#places.set(at, place)
    this.#sizes[as]++
    this.#resize(place, () => place.add(request, as))
    request.heldBy(place)
    openRequests.watch(request)
    return true
  }

  has(at: WaitingPlace): boolean {
    return this.#places.has(at)
  }

  /** Takes out all requests at a place. */
  take(at: WaitingPlace): AnyAccepted[] {
    const place = this.#places.get(at)
    if (!place) return []
    const requests = [...place.requests.keys()]
    for (const request of requests) this.leave(place, request)
    for (const request of requests) request.heldBy(undefined)
    return requests
  }

  /** Takes out all requests. */
  takeAll(): AnyAccepted[] {
    return [...this.#places.keys()].flatMap(at => this.take(at))
  }

  /** A request has left because it was answered. */
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
  readonly at: WaitingPlace
  readonly requests = new Map<AnyAccepted, WaitingClass>()
  readonly #queues: RequestQueues
  /** In the order in which they came. Requests that have left stay in it for a while. */
  #order: AnyAccepted[] = []

  constructor(at: WaitingPlace, queues: RequestQueues) {
    this.at = at
    this.#queues = queues
  }

  add(request: AnyAccepted, as: WaitingClass): void {
    this.requests.set(request, as)
    this.#order.push(request)
    if (this.#order.length > 2 * this.requests.size + SLACK) this.#order = [...this.requests.keys()]
  }

  /** The newest request that is still here. */
  last(): AnyAccepted {
    let last = this.#order.at(-1)!
    while (!this.requests.has(last)) {
      this.#order.pop()
      last = this.#order.at(-1)!
    }
    return last
  }

  release(request: AnyAccepted): void {
    this.#queues.left(this, request)
  }
}
