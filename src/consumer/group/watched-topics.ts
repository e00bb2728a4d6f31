import type { Timer } from './group-runtime.js'
import type { FoundTopics } from './topic-look-ups.js'

/** Limit of the names in one request. Early look-ups make one request. */
const MAX_NAMES = 2_000
/** If a group misses more topics, a client may have invented their names. They are not looked up early. */
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
  /** True: topics that did not exist when the watch began are looked up early. */
  readonly isEarly: boolean
  readonly onChanged: () => void
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

  constructor(options: WatchedTopicsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#watches.size
  }

  /** Calls back once, when a topic has more partitions than `counts` says. */
  watch(counts: ReadonlyMap<string, number>, onChanged: () => void): Timer {
    const missingCount = [...counts.values()].filter(count => count === 0).length
    const watch = { counts, isEarly: missingCount > 0 && missingCount <= MAX_MISSING, onChanged }
    for (const topic of counts.keys()) {
      const watches = this.#watches.get(topic)
      if (watches) watches.add(watch)
      else this.#watches.set(topic, new Set([watch]))
    }
    this.#plan()
    if (watch.isEarly) this.#planMissing()
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
      this.#lookUp(missing)
      this.#planMissing()
    })
  }

  /** Topics that have no partitions, according to a group. */
  #missingTopics(): readonly string[] {
    const missing: string[] = []
    for (const [topic, watches] of this.#watches) {
      for (const { counts, isEarly } of watches) {
        if (!isEarly || counts.get(topic) !== 0) continue
        missing.push(topic)
        break
      }
      if (missing.length === MAX_NAMES) break
    }
    return missing
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
    }
    if (this.#watches.size > 0) return
    this.#timer?.cancel()
    this.#missingTimer?.cancel()
    this.#timer = this.#missingTimer = undefined
  }
}
