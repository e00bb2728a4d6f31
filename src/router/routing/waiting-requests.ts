import type { ActorRef } from '../../core/actor/actor.js'
import { backoffMs } from '../../core/backoff.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { Coordinated } from '../../kafka/protocol/groups.js'
import type { Failure } from '../messages/operations.js'
import { Alarm } from '../requests/deadlines.js'
import { tooManyWait } from '../requests/failures.js'
import { fail, type Holder, type OpenRequest, type OpenRequests } from '../requests/open-requests.js'
import type { RouterNotice, WaitingPlace } from './messages.js'
import type { RouterSettings } from './settings.js'

export interface WaitingOptions {
  readonly openRequests: OpenRequests
  readonly settings: RouterSettings
  readonly random: () => number
  readonly self: ActorRef<RouterNotice>
}

const TOPIC_PLACE = 'topic:'
/** The place of requests that any broker can answer, while no broker can be reached. */
export const ANY_NODE: WaitingPlace = 'anyNode'
export const topicPlace = (topic: string): WaitingPlace => TOPIC_PLACE + topic
export const coordinatorPlace = (keyType: Coordinated, groupId: string): WaitingPlace => `${keyType}:${groupId}`
export const linePlace = (key: string): WaitingPlace => `commits:${key}`
export const nodePlace = (nodeId: number): WaitingPlace => `node:${nodeId}`

/** Requests that cannot be sent now. Each waits at a place, or for the end of a pause. */
export class WaitingRequests {
  readonly lines: RequestLines
  readonly #options: WaitingOptions
  #pauses = 0

  /** @param onTopicEmpty called when the last request for a topic was answered while it waited; not when requests are taken */
  constructor(options: WaitingOptions, onTopicEmpty: (topic: string) => void) {
    this.#options = options
    const { openRequests, settings } = options
    const limit = settings.maxWaitingRequests
    this.lines = new RequestLines({
      openRequests,
      limit,
      onEvicted: request => fail(request, tooManyWaiting(limit)),
      onEmpty: place => {
        if (place.startsWith(TOPIC_PLACE)) onTopicEmpty(place.slice(TOPIC_PLACE.length))
      }
    })
  }

  /** Adds a request. Returns false when the limit, or the share of its class, is reached; the request has then been answered. */
  enqueue(place: WaitingPlace, request: OpenRequest, as: WaitingClass = 'known'): boolean {
    if (this.lines.enqueue(place, request, as)) return true
    fail(request, tooManyWaiting(this.#options.settings.maxWaitingRequests, as))
    return false
  }

  pause(request: OpenRequest, forMs: number, now: number): void {
    const place = `pause:${++this.#pauses}`
    if (this.enqueue(place, request)) this.wakeAt(place, now + forMs)
  }

  wakeAt(place: WaitingPlace, at: number): void {
    const { openRequests, self } = this.#options
    openRequests.deadlines.add(new Alarm(at, () => self.tell({ type: 'wake', place })))
  }

  /** @param attempt counted from 1 */
  pauseMs(attempt: number): number {
    const { retryBackoffMs, retryBackoffMaxMs } = this.#options.settings
    return backoffMs(attempt - 1, retryBackoffMs, retryBackoffMaxMs, this.#options.random)
  }
}

/**
 * The kind of thing that a request waits for. `known`: a known topic, a group or a broker; `fresh`: a name that has not
 * been looked up yet; `missed`: a name that a broker has reported as missing. `fresh` and `missed` requests may use
 * only a share of all places, so that invented names leave places for requests that wait for an election, and missing
 * names leave places for names that may exist.
 */
type WaitingClass = 'known' | 'fresh' | 'missed'

const SHARE_OF_MISSED = 0.5
const SHARE_OF_UNKNOWN = 0.75
const TOLD_OF_SHARES: Readonly<Record<WaitingClass, string>> = {
  known: '',
  fresh: '; those for unknown topics may take three quarters of the places',
  missed: '; those for missing topics may take half of the places'
}

const tooManyWaiting = (limit: number, as: WaitingClass = 'known'): Failure =>
  tooManyWait(`too many requests wait for Kafka${TOLD_OF_SHARES[as]}`, limit)

interface RequestLinesOptions {
  readonly openRequests: OpenRequests
  readonly limit: number
  /** Called with a request that was displaced by a request for a place with fewer requests. */
  readonly onEvicted: (request: OpenRequest) => void
  /** Called when the last request at a place has been answered, also at its deadline. */
  readonly onEmpty: (place: WaitingPlace) => void
}

/**
 * Requests that cannot be sent yet, by place, in the order in which they came. When the limit is reached, a request for
 * a place with few requests displaces the newest request at a place with many. So no topic can use all places.
 */
export class RequestLines {
  readonly #options: RequestLinesOptions
  readonly #places = new Map<WaitingPlace, WaitedFor>()
  /** Places by their number of requests, in powers of two: 1, 2-3, 4-7, ... */
  readonly #bySize: Set<WaitedFor>[] = []
  readonly #sizes: Record<WaitingClass, HeldAmount> = {
    known: new HeldAmount('requests that wait for Kafka'),
    fresh: new HeldAmount('requests for names to look up'),
    missed: new HeldAmount('requests for missing names')
  }

  constructor(options: RequestLinesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#sizes.known.value + this.#sizes.fresh.value + this.#sizes.missed.value
  }

  /** Adds a request. Returns false when the limit, or the share of its class, is reached. */
  enqueue(at: WaitingPlace, request: OpenRequest, as: WaitingClass = 'known'): boolean {
    const { limit, openRequests } = this.#options
    const { fresh, missed } = this.#sizes
    if (as === 'missed' && missed.value >= limit * SHARE_OF_MISSED) return false
    if (as !== 'known' && missed.value + fresh.value >= limit * SHARE_OF_UNKNOWN) return false
    const place = this.#places.get(at) ?? new WaitedFor(at, this)
    if (this.size >= limit && !this.#displaceFor(place)) return false
    this.#places.set(at, place)
    this.#sizes[as].add(1)
    this.#resize(place, () => place.add(request, as))
    request.heldBy(place)
    openRequests.watch(request)
    return true
  }

  has(at: WaitingPlace): boolean {
    return this.#places.has(at)
  }

  take(at: WaitingPlace): OpenRequest[] {
    const place = this.#places.get(at)
    if (!place) return []
    const requests = [...place.requests.keys()]
    for (const request of requests) this.leave(place, request)
    for (const request of requests) request.heldBy(undefined)
    return requests
  }

  takeAll(): OpenRequest[] {
    return [...this.#places.keys()].flatMap(at => this.take(at))
  }

  /** Called when a request has left because it was answered. */
  leaveAnswered(place: WaitedFor, request: OpenRequest): void {
    if (this.leave(place, request) && place.requests.size === 0) this.#options.onEmpty(place.at)
  }

  leave(place: WaitedFor, request: OpenRequest): boolean {
    const waiting = place.requests.get(request)
    if (!waiting) return false
    this.#sizes[waiting.as].release(1)
    this.#resize(place, () => place.delete(request))
    if (place.requests.size === 0 && this.#places.get(place.at) === place) this.#places.delete(place.at)
    return true
  }

  #displaceFor(place: WaitedFor): boolean {
    while (this.#bySize.at(-1)?.size === 0) this.#bySize.pop()
    const magnitude = this.#bySize.length - 1
    if (magnitude <= magnitudeOf(place.requests.size + 1)) return false
    const [largest] = this.#bySize[magnitude]!
    this.#options.onEvicted(largest!.last())
    return this.size < this.#options.limit
  }

  #resize(place: WaitedFor, change: () => void): void {
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

/** One thing that requests wait for, such as the metadata of one topic, and these requests. */
class WaitedFor implements Holder {
  readonly at: WaitingPlace
  readonly requests = new Map<OpenRequest, { readonly as: WaitingClass; nth: number }>()
  readonly #lines: RequestLines
  /** The requests in the order in which they came, each at its `nth`; `undefined`: it has left. */
  #order: (OpenRequest | undefined)[] = []

  constructor(at: WaitingPlace, lines: RequestLines) {
    this.at = at
    this.#lines = lines
  }

  add(request: OpenRequest, as: WaitingClass): void {
    if (this.#order.length >= 2 * this.requests.size + SLACK) {
      this.#order = [...this.requests.keys()]
      let nth = 0
      for (const waiting of this.requests.values()) waiting.nth = nth++
    }
    this.requests.set(request, { as, nth: this.#order.push(request) - 1 })
  }

  delete(request: OpenRequest): void {
    this.#order[this.requests.get(request)!.nth] = undefined
    this.requests.delete(request)
  }

  /** The newest request that has not left. */
  last(): OpenRequest {
    while (this.#order.at(-1) === undefined) this.#order.pop()
    return this.#order.at(-1)!
  }

  release(request: OpenRequest): void {
    this.#lines.leaveAnswered(this, request)
  }
}
