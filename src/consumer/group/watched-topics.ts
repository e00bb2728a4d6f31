import type { Timer } from './group-runtime.js'
import type { PartitionsOf } from './partition-counts.js'

/** Most names of one look-up. */
const MAX_NAMES = 2_000

export interface WatchedTopicsOptions {
  /** Pause between two look-ups of all topics. */
  readonly checkMs: number
  readonly after: (delayMs: number, run: () => void) => Timer
  /** Calls back with `undefined` when no broker answers. */
  readonly lookUp: (topics: readonly string[], onFound: (partitionsOf: PartitionsOf | undefined) => void) => void
}

interface Watch {
  /** How many partitions each topic had. */
  readonly counts: ReadonlyMap<string, number>
  readonly onChanged: () => void
}

/**
 * Topics of all groups of a process, looked up together: a topic that many groups read is named once, and all names are in
 * one request. While no group watches a topic, there are no requests.
 */
export class WatchedTopics {
  readonly #options: WatchedTopicsOptions
  readonly #watches = new Map<string, Set<Watch>>()
  #timer: Timer | undefined

  constructor(options: WatchedTopicsOptions) {
    this.#options = options
  }

  /** Topics that are watched. */
  get size(): number {
    return this.#watches.size
  }

  /** Calls back once, when a topic has got more partitions than these. */
  watch(counts: ReadonlyMap<string, number>, onChanged: () => void): Timer {
    const watch = { counts, onChanged }
    for (const topic of counts.keys()) {
      const watches = this.#watches.get(topic)
      if (watches) watches.add(watch)
      else this.#watches.set(topic, new Set([watch]))
    }
    this.#plan()
    return { cancel: () => this.#remove(watch) }
  }

  #plan(): void {
    if (this.#timer !== undefined || this.#watches.size === 0) return
    const { checkMs, after } = this.#options
    this.#timer = after(checkMs, () => {
      this.#timer = undefined
      this.#lookUpAll()
      this.#plan()
    })
  }

  #lookUpAll(): void {
    const topics = [...this.#watches.keys()]
    for (let first = 0; first < topics.length; first += MAX_NAMES) {
      const named = topics.slice(first, first + MAX_NAMES)
      this.#options.lookUp(named, partitionsOf => partitionsOf && this.#found(named, partitionsOf))
    }
  }

  /** An answer that is older than a watch names no more partitions than the watch knows, and changes nothing. */
  #found(topics: readonly string[], partitionsOf: PartitionsOf): void {
    const changed = new Set<Watch>()
    for (const topic of topics) {
      const partitions = partitionsOf(topic).length
      for (const watch of this.#watches.get(topic) ?? []) if (partitions > watch.counts.get(topic)!) changed.add(watch)
    }
    for (const watch of changed) this.#remove(watch)
    for (const { onChanged } of changed) onChanged()
  }

  #remove(watch: Watch): void {
    for (const topic of watch.counts.keys()) {
      const watches = this.#watches.get(topic)
      watches?.delete(watch)
      if (watches?.size === 0) this.#watches.delete(topic)
    }
    if (this.#watches.size > 0) return
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
