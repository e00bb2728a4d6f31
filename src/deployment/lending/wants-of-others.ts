import { deleteFrom, getOrAdd } from '../../core/maps.js'
import { type GroupTopic, keyOfTopic, MAX_WANTS, mayTravel } from '../calls/lending-calls.js'

/** A want lasts for this time after it was sent. */
const LASTS_MS = 2_000

/** A gateway whose clients wait for messages of a topic. */
export interface WantOfOther<Id> {
  readonly from: Id
  readonly key: string
  until: number
  /** Time before which the gateway is offered no message. */
  notBefore: number
}

/** The wants of one gateway, oldest first. */
type WantsOfOne<Id> = Map<string, WantOfOther<Id>>

/** Topics for which clients of other gateways wait. Each want ends two seconds after it was last sent. */
export class WantsOfOthers<Id> {
  readonly #byGateway = new Map<Id, WantsOfOne<Id>>()
  /** Wants by topic, in the order of their turns. */
  readonly #byTopic = new Map<string, Set<WantOfOther<Id>>>()

  get size(): number {
    let size = 0
    for (const own of this.#byGateway.values()) size += own.size
    return size
  }

  /** @returns those that are known from now on; there are too many for the others */
  told(from: Id, topics: readonly GroupTopic[], now: number): readonly GroupTopic[] {
    this.dropOld(now, from)
    const own = getOrAdd(this.#byGateway, from, () => new Map())
    return topics.filter(topic => mayTravel(topic) && this.#note(own, from, keyOfTopic(topic), now))
  }

  #note(own: WantsOfOne<Id>, from: Id, key: string, now: number): boolean {
    const known = own.get(key)
    if (known !== undefined) {
      own.delete(key)
      own.set(key, Object.assign(known, { until: now + LASTS_MS, notBefore: now }))
      return true
    }
    if (own.size >= MAX_WANTS) return false
    const want = { from, key, until: now + LASTS_MS, notBefore: now }
    own.set(key, want)
    getOrAdd(this.#byTopic, key, () => new Set()).add(want)
    return true
  }

  has(from: Id, key: string, now: number): boolean {
    return (this.#byGateway.get(from)?.get(key)?.until ?? now) > now
  }

  isWanted(key: string, now: number): boolean {
    for (const { until } of this.#byTopic.get(key) ?? []) if (until > now) return true
    return false
  }

  /** The next want of a topic; `undefined`: no gateway can be offered a message now. */
  next(key: string, now: number): WantOfOther<Id> | undefined {
    for (const want of this.#byTopic.get(key) ?? []) if (want.until > now && want.notBefore <= now) return want
    return undefined
  }

  /** When a message can be offered next, if not now. `undefined`: it is not wanted. */
  nextAt(key: string, now: number): number | undefined {
    let first: number | undefined
    for (const { until, notBefore } of this.#byTopic.get(key) ?? []) {
      if (until > Math.max(now, notBefore)) first = Math.min(first ?? Number.POSITIVE_INFINITY, notBefore)
    }
    return first
  }

  /** Notes that a want has had its turn. */
  served(want: WantOfOther<Id>, notBefore: number): void {
    want.notBefore = Math.max(want.notBefore, notBefore)
    const ofTopic = this.#byTopic.get(want.key)
    if (ofTopic?.delete(want)) ofTopic.add(want)
  }

  end({ from, key }: Pick<WantOfOther<Id>, 'from' | 'key'>): void {
    const want = this.#byGateway.get(from)?.get(key)
    if (want === undefined) return
    deleteFrom(this.#byGateway, from, key)
    deleteFrom(this.#byTopic, key, want)
  }

  gone(from: Id): void {
    for (const want of [...(this.#byGateway.get(from)?.values() ?? [])]) this.end(want)
  }

  /** @param of only those of this gateway */
  dropOld(now: number, of?: Id): void {
    for (const id of of === undefined ? [...this.#byGateway.keys()] : [of]) {
      for (const want of this.#byGateway.get(id)?.values() ?? []) {
        if (want.until > now) break
        this.end(want)
      }
    }
  }
}
