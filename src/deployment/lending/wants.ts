import type { Timer } from '../../consumer/group/group-runtime.js'
import { type GroupTopic, keyOfTopic, type LendingTime, MAX_NAMES_OF_CALL, MAX_TOPICS_OF_CALL } from './calls.js'

/** Pause between two calls with new wants. */
const PAUSE_MS = 100
/** What lasts is told so often. Others forget it after twice this time. */
const BEAT_MS = 1_000
/** Wants that were told so shortly before are not told with those that last. */
const JUST_TOLD_MS = BEAT_MS / 2
/** Calls to one gateway that may be under way. */
const MAX_CALLS = 4

export interface WantsDeps<Id> {
  readonly time: LendingTime
  /** The gateways that lend. */
  readonly others: () => readonly Id[]
  /** Whether a request waits that could be answered with a lent message. */
  readonly isWaiting: (topic: GroupTopic) => boolean
  readonly tell: (to: Id, topics: readonly GroupTopic[]) => Promise<unknown>
}

/**
 * The topics whose messages clients of this gateway wait for, and which other gateways know it. All others are told what is new,
 * at most every 100 ms, and each second what lasts: a gateway forgets it after two.
 */
export class Wants<Id> {
  readonly #deps: WantsDeps<Id>
  /** Topics for which a request waits, or has waited since the last look. */
  readonly #waiting = new Map<string, GroupTopic>()
  /** Those of them that may not be known to all. */
  readonly #fresh = new Set<string>()
  /** When each of the others was told a topic last. */
  readonly #told = new Map<Id, Map<string, number>>()
  readonly #calls = new Map<Id, number>()
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

  /** A request for the topic waits. */
  note(topic: GroupTopic, key = keyOfTopic(topic)): void {
    if (this.#isStopped || this.#fresh.has(key)) return
    if (!this.#waiting.has(key)) {
      if (this.#waiting.size >= MAX_TOPICS_OF_CALL) return
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
    for (const id of others()) this.#tell(id, topics, now - (isBeat ? JUST_TOLD_MS : BEAT_MS))
    if (isBeat) this.#dropOld(now)
    if (this.#waiting.size > 0) this.#lookIn(this.#fresh.size > 0 ? PAUSE_MS : this.#beatAt + BEAT_MS - now)
  }

  /** Tells a gateway the topics that it was not told since then. */
  #tell(id: Id, topics: ReadonlyMap<string, GroupTopic>, since: number): void {
    const told = this.#told.get(id) ?? new Map<string, number>()
    this.#told.set(id, told)
    const due = [...topics].filter(([key]) => (told.get(key) ?? Number.NEGATIVE_INFINITY) <= since)
    const calls = this.#calls.get(id) ?? 0
    let length = 0
    const fitting = calls < MAX_CALLS ? due.filter(([key]) => (length += key.length) <= MAX_NAMES_OF_CALL) : []
    if (fitting.length < due.length) for (const [key] of due) this.#fresh.add(key)
    if (fitting.length === 0) return
    const now = this.#deps.time.clock()
    for (const [key] of fitting) told.set(key, now)
    this.#calls.set(id, calls + 1)
    const end = (): void => {
      const left = this.#calls.get(id)! - 1
      if (left > 0) this.#calls.set(id, left)
      else this.#calls.delete(id)
    }
    const topicsOf = fitting.map(([, topic]) => topic)
    this.#deps.tell(id, topicsOf).then(end, () => {
      end()
      for (const [key, topic] of fitting) {
        if (told.get(key) === now) told.delete(key)
        if (this.#waiting.has(key)) this.note(topic, key)
      }
    })
  }

  /** What others have forgotten. */
  #dropOld(now: number): void {
    for (const told of this.#told.values()) {
      for (const [key, at] of told) if (now - at >= 2 * BEAT_MS && !this.#waiting.has(key)) told.delete(key)
    }
  }
}
