import type { Timer } from '../../consumer/group/group-runtime.js'
import { getOrAdd } from '../../core/maps.js'
import {
  type GroupTopic,
  keyOfTopic,
  type LendingTime,
  lengthOfNames,
  MAX_NAMES_OF_CALL,
  MAX_TOPICS_OF_CALL,
  MAX_WANTS
} from '../calls/lending-calls.js'

/** Pause between two calls with new wants. */
const PAUSE_MS = 100
/** Interval at which lasting wants are sent again. Others forget a want after twice this time. */
const BEAT_MS = 1_000
/** Wants that were told so shortly before are not told with those that last. */
const JUST_TOLD_MS = BEAT_MS / 2
/** Calls to one gateway that may be under way. */
const MAX_CALLS = 4

/** Limit of wants that are written for several gateways in one turn of the event loop. */
const MANY = 500

/** A topic that a gateway is to be told. */
type Due = readonly [key: string, topic: GroupTopic]

/** How many go into one call, at least one. */
function countOfCall(due: readonly Due[]): number {
  let length = 0
  let count = 0
  for (const [, topic] of due) {
    length += lengthOfNames(topic)
    if (count === MAX_TOPICS_OF_CALL || (count > 0 && length > MAX_NAMES_OF_CALL)) break
    count++
  }
  return count
}

export interface WantsDeps<Id> {
  readonly time: LendingTime
  /** The gateways that lend. */
  readonly others: () => readonly Id[]
  /** Whether a request waits that could be answered with a lent message. */
  readonly isWaiting: (topic: GroupTopic) => boolean
  /** @param topics the same list for all gateways that are told the same */
  readonly tell: (to: Id, topics: readonly GroupTopic[]) => Promise<unknown>
}

/**
 * The topics for whose messages clients of this gateway wait, and which gateways know this. New wants are sent to all
 * others, at most every 100 ms. Lasting ones are sent again each second, because a gateway forgets them after two.
 */
export class Wants<Id> {
  readonly #deps: WantsDeps<Id>
  /** Topics for which a request waits, or has waited since the last look. */
  readonly #waiting = new Map<string, GroupTopic>()
  /** Topics in `#waiting` that some gateways may not know yet. */
  readonly #fresh = new Set<string>()
  /** When each of the others was told a topic last. */
  readonly #told = new Map<Id, Map<string, number>>()
  readonly #calls = new Map<Id, number>()
  /** Gateways whose last call has failed. */
  readonly #failing = new Set<Id>()
  /** Wants that are sent after this look. */
  #lists: readonly (readonly GroupTopic[])[] = []
  #toldAt = Number.NEGATIVE_INFINITY
  #beatAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #dueAt = Number.POSITIVE_INFINITY
  #isStopped = false

  constructor(deps: WantsDeps<Id>) {
    this.#deps = deps
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Gateways of which something is kept. */
  get gateways(): number {
    return new Set([...this.#told.keys(), ...this.#failing, ...this.#calls.keys()]).size
  }

  /** A request for the topic waits. */
  note(topic: GroupTopic, key = keyOfTopic(topic)): void {
    if (this.#isStopped || this.#fresh.has(key)) return
    if (!this.#waiting.has(key)) {
      if (this.#waiting.size >= MAX_WANTS) return
      this.#waiting.set(key, topic)
    }
    this.#fresh.add(key)
    this.#lookIn(Math.max(0, this.#toldAt + PAUSE_MS - this.#deps.time.clock()))
  }

  /** The gateway does not know the want any more. */
  forgotten(by: Id, key: string): void {
    this.#told.get(by)?.delete(key)
  }

  gone(id: Id): void {
    this.#told.delete(id)
    this.#failing.delete(id)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#waiting.clear()
    this.#fresh.clear()
  }

  #lookIn(delayMs: number): void {
    const dueAt = this.#deps.time.clock() + delayMs
    if (dueAt >= this.#dueAt) return
    this.#timer?.cancel()
    this.#dueAt = dueAt
    const { after, tick } = this.#deps.time
    // A request that is answered in the same tick is no want.
    this.#timer = after(delayMs, () => tick(() => this.#look()))
  }

  #look(): void {
    if (this.#isStopped) return
    const { time, others, isWaiting } = this.#deps
    const now = time.clock()
    const isBeat = now - this.#beatAt >= BEAT_MS
    this.#dueAt = Number.POSITIVE_INFINITY
    this.#toldAt = now
    if (isBeat) this.#beatAt = now
    const topics = new Map<string, GroupTopic>()
    for (const key of isBeat ? [...this.#waiting.keys()] : [...this.#fresh]) {
      const topic = this.#waiting.get(key)
      if (topic !== undefined && isWaiting(topic)) topics.set(key, topic)
      else this.#waiting.delete(key)
    }
    this.#fresh.clear()
    this.#tellAll([...others()], topics, now - (isBeat ? JUST_TOLD_MS : BEAT_MS))
    if (isBeat) this.#dropOld(now)
    if (this.#waiting.size > 0) this.#lookIn(this.#fresh.size > 0 ? PAUSE_MS : this.#beatAt + BEAT_MS - now)
  }

  /**
   * Tells gateways the topics that each was not told since then. Many take long to write, so each such call has a turn of the event
   * loop of its own.
   *
   * @param left what the first gateway is still to be told
   */
  #tellAll(ids: readonly Id[], topics: ReadonlyMap<string, GroupTopic>, since: number, left?: readonly Due[]): void {
    const [id, ...others] = ids
    if (id === undefined || this.#isStopped) {
      this.#lists = []
      return
    }
    // The gateway may be gone since the turn before.
    const due = this.#deps.others().includes(id) ? (left ?? this.#dueOf(id, topics, since)) : []
    const rest = this.#tell(id, due)
    const goOn = (): void =>
      rest.length > 0 ? this.#tellAll(ids, topics, since, rest) : this.#tellAll(others, topics, since)
    if (rest.length > 0 || due.length > MANY) this.#deps.time.tick(goOn)
    else goOn()
  }

  #dueOf(id: Id, topics: ReadonlyMap<string, GroupTopic>, since: number): readonly Due[] {
    const told = this.#told.get(id)
    return [...topics].filter(([key]) => (told?.get(key) ?? Number.NEGATIVE_INFINITY) <= since)
  }

  /** @returns what another call is to tell */
  #tell(id: Id, due: readonly Due[]): readonly Due[] {
    if (due.length === 0) return []
    const told = getOrAdd(this.#told, id, () => new Map())
    const calls = this.#calls.get(id) ?? 0
    if (calls >= MAX_CALLS) {
      for (const [key] of due) this.#fresh.add(key)
      this.#lookIn(PAUSE_MS)
      return []
    }
    const fitting = due.slice(0, countOfCall(due))
    const now = this.#deps.time.clock()
    for (const [key] of fitting) told.set(key, now)
    this.#calls.set(id, calls + 1)
    const end = (): void => {
      const left = this.#calls.get(id)! - 1
      if (left > 0) this.#calls.set(id, left)
      else this.#calls.delete(id)
    }
    const answered = (): void => {
      end()
      this.#failing.delete(id)
    }
    this.#deps.tell(id, this.#listOf(fitting)).then(answered, () => {
      end()
      if (this.#told.get(id) !== told) return // It is gone.
      const isFirst = !this.#failing.has(id)
      this.#failing.add(id)
      for (const [key, topic] of fitting) {
        if (told.get(key) === now) told.delete(key)
        if (isFirst && this.#waiting.has(key)) this.note(topic, key)
      }
    })
    return due.slice(fitting.length)
  }

  #listOf(due: readonly Due[]): readonly GroupTopic[] {
    const isSame = (list: readonly GroupTopic[]): boolean =>
      list.length === due.length && due.every(([, topic], at) => list[at] === topic)
    const known = this.#lists.find(isSame)
    if (known !== undefined) return known
    const list = due.map(([, topic]) => topic)
    this.#lists = [...this.#lists, list]
    return list
  }

  /** Drops wants that the other gateways have forgotten. */
  #dropOld(now: number): void {
    for (const told of this.#told.values()) {
      for (const [key, at] of told) if (now - at >= 2 * BEAT_MS && !this.#waiting.has(key)) told.delete(key)
    }
  }
}
