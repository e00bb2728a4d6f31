import type { Timer } from './group-runtime.js'
import type { FoundTopics } from './topic-look-ups.js'

const MAX_NAMES = 2_000
/** Limit of missing topics in one early look-up. If more are missing, a client may have invented their names. */
const MAX_MISSING = 100

export interface WatchedTopicsOptions {
  /** Pause between two look-ups of all topics. */
  readonly checkMs: number
  /** Pause between two look-ups of topics that do not exist yet. If `checkMs` is shorter, it is used instead. */
  readonly missingCheckMs: number
  readonly after: (delayMs: number, run: () => void) => Timer
  /** Calls back with `undefined` when no broker answers. */
  readonly lookUp: (topics: readonly string[], onFound: (found: FoundTopics | undefined) => void) => void
}

interface Watch {
  /** The number of partitions of each topic when the watch began. */
  readonly counts: ReadonlyMap<string, number>
  /** The number of topics that did not exist when the watch began. */
  readonly missingCount: number
  readonly onChanged: () => void
}

/** A topic that does not exist, and the fewest missing topics of a watch that names it. */
interface Missing {
  readonly topic: string
  readonly fewest: number
}

/**
 * Watches the topics of all groups of a process. One request has the names of all topics, each once. While no group
 * watches a topic, there are no requests.
 */
export class WatchedTopics {
  readonly #options: WatchedTopicsOptions
  readonly #watches = new Map<string, Set<Watch>>()
  #timer: Timer | undefined
  #missingTimer: Timer | undefined
  /** The number of the last early look-up of each missing topic. */
  readonly #lookedUpIn = new Map<string, number>()
  #earlyLookUps = 0

  constructor(options: WatchedTopicsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#watches.size
  }

  /** Calls back once, when a topic has more partitions than `counts` says. */
  watch(counts: ReadonlyMap<string, number>, onChanged: () => void): Timer {
    const missingCount = [...counts.values()].filter(count => count === 0).length
    const watch = { counts, missingCount, onChanged }
    for (const topic of counts.keys()) {
      const watches = this.#watches.get(topic)
      if (watches) watches.add(watch)
      else this.#watches.set(topic, new Set([watch]))
    }
    this.#plan()
    if (missingCount > 0) this.#planMissing()
    return { cancel: () => this.#remove(watch) }
  }

  #plan(): void {
    if (this.#timer !== undefined || this.#watches.size === 0) return
    const { checkMs, after } = this.#options
    this.#timer = after(checkMs, () => {
      this.#timer = undefined
      this.#lookUp([...this.#watches.keys()])
      this.#plan()
    })
  }

  #planMissing(): void {
    const { checkMs, missingCheckMs, after } = this.#options
    if (this.#missingTimer !== undefined || missingCheckMs >= checkMs) return
    this.#missingTimer = after(missingCheckMs, () => {
      this.#missingTimer = undefined
      const missing = this.#missingTopics()
      if (missing.length === 0) return
      this.#lookUp(this.#nextOf(missing))
      this.#planMissing()
    })
  }

  /** Topics that have no partitions, according to a group. */
  #missingTopics(): Missing[] {
    const missing: Missing[] = []
    for (const [topic, watches] of this.#watches) {
      let fewest = Number.POSITIVE_INFINITY
      for (const { counts, missingCount } of watches)
        if (missingCount < fewest && counts.get(topic) === 0) fewest = missingCount
      if (fewest < Number.POSITIVE_INFINITY) missing.push({ topic, fewest })
    }
    return missing
  }

  /**
   * The topics of the next early look-up. Groups with few missing topics come first, so that a client that invents many
   * names delays only its own group. Among equals, the topic that has waited longest comes first.
   */
  #nextOf(missing: Missing[]): readonly string[] {
    const lastOf = (topic: string): number => this.#lookedUpIn.get(topic) ?? 0
    if (missing.length > MAX_MISSING)
      missing.sort((a, b) => a.fewest - b.fewest || lastOf(a.topic) - lastOf(b.topic)).splice(MAX_MISSING)
    this.#earlyLookUps++
    for (const { topic } of missing) this.#lookedUpIn.set(topic, this.#earlyLookUps)
    return missing.map(({ topic }) => topic)
  }

  #lookUp(topics: readonly string[]): void {
    for (let first = 0; first < topics.length; first += MAX_NAMES) {
      const named = topics.slice(first, first + MAX_NAMES)
      this.#options.lookUp(named, found => found && this.#found(named, found))
    }
  }

  /**
   * Takes an answer. An answer that is older than a watch has no more partitions than the watch knows, and changes
   * nothing.
   */
  #found(topics: readonly string[], found: FoundTopics): void {
    const changed = new Set<Watch>()
    for (const topic of topics) {
      const partitions = found.partitionsOf(topic).length
      for (const watch of this.#watches.get(topic) ?? []) if (partitions > watch.counts.get(topic)!) changed.add(watch)
    }
    for (const watch of changed) this.#remove(watch)
    for (const { onChanged } of changed) onChanged()
  }

  #remove(watch: Watch): void {
    for (const topic of watch.counts.keys()) {
      const watches = this.#watches.get(topic)
      watches?.delete(watch)
      if (watches?.size !== 0) continue
      this.#watches.delete(topic)
      this.#lookedUpIn.delete(topic)
    }
    if (this.#watches.size > 0) return
    this.#timer?.cancel()
    this.#missingTimer?.cancel()
    this.#timer = this.#missingTimer = undefined
  }
}
