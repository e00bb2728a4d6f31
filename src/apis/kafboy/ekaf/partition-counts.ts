/** Lifetime of a known count. Added partitions are noticed after this time. */
const BELIEVED_MS = 10_000
/** Time for which a topic stays unknown before it is looked up again. */
const UNKNOWN_BELIEVED_MS = 1_000
/** Topics whose count is remembered. Beyond, the topic that was learnt first is forgotten. */
const MAX_TOPICS = 1_000
/** Further topics wait for the next look-up. */
const MAX_TOPICS_OF_A_CALL = 1_000
/** Calls that wait for the look-up of their topic. */
const MAX_WAITING = 10_000

interface Known {
  /** `undefined`: the topic was not found. */
  readonly count: number | undefined
  readonly until: number
}

type Waiting = (count: number | undefined) => void

export interface PartitionCountsDeps {
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** Asks Kafka; topics that are not known are absent. Never rejects. */
  readonly lookUp: (topics: readonly string[]) => Promise<ReadonlyMap<string, number>>
}

/**
 * Partition counts of topics, for strategies that choose among partitions. One look-up at a time serves many topics.
 */
export class PartitionCounts {
  readonly #deps: PartitionCountsDeps
  readonly #known = new Map<string, Known>()
  /** Waiting calls by topic. A topic whose known count is being renewed has no waiting calls. */
  readonly #waiting = new Map<string, Waiting[]>()
  #waitingCalls = 0
  #isLookingUp = false

  constructor(deps: PartitionCountsDeps) {
    this.#deps = deps
  }

  /** Whether {@link whenKnown} calls back before it returns. */
  isKnown(topic: string): boolean {
    return this.#believed(topic) !== undefined
  }

  /**
   * Calls back with the count, in the order of the calls: at once when it is known, and else after a look-up.
   *
   * @returns false when too many calls wait; then `done` is not called
   */
  whenKnown(topic: string, done: Waiting): boolean {
    const known = this.#believed(topic)
    if (known !== undefined) {
      done(known.count)
      return true
    }
    if (this.#waitingCalls >= MAX_WAITING) return false
    this.#waitingCalls++
    this.#want(topic).push(done)
    return true
  }

  /** An expired count is still used until a new one is known. An expired "unknown topic" is not used. */
  #believed(topic: string): Known | undefined {
    const known = this.#known.get(topic)
    if (known === undefined || this.#deps.clock() < known.until) return known
    if (known.count === undefined) return undefined
    this.#want(topic)
    return known
  }

  #want(topic: string): Waiting[] {
    let waiting = this.#waiting.get(topic)
    if (waiting === undefined) {
      this.#waiting.set(topic, (waiting = []))
      if (!this.#isLookingUp) this.#lookUp()
    }
    return waiting
  }

  #lookUp(): void {
    this.#isLookingUp = true
    // Waits for the end of the tick, so that many new topics share one look-up.
    setImmediate(() => {
      const topics = [...this.#waiting.keys()].slice(0, MAX_TOPICS_OF_A_CALL)
      void this.#deps.lookUp(topics).then(counts => this.#learnt(topics, counts))
    })
  }

  #learnt(topics: readonly string[], counts: ReadonlyMap<string, number>): void {
    for (const topic of topics) {
      const waiting = this.#waiting.get(topic) ?? []
      this.#waiting.delete(topic)
      this.#waitingCalls -= waiting.length
      const count = this.#remember(topic, counts.get(topic))
      for (const done of waiting) done(count)
    }
    this.#isLookingUp = false
    if (this.#waiting.size > 0) this.#lookUp()
  }

  /** A broker may lose sight of a topic for a while, so a known count stays until another one is known. */
  #remember(topic: string, found: number | undefined): number | undefined {
    const count = found ?? this.#known.get(topic)?.count
    this.#known.delete(topic)
    if (this.#known.size >= MAX_TOPICS) this.#known.delete(this.#known.keys().next().value!)
    const until = this.#deps.clock() + (found === undefined ? UNKNOWN_BELIEVED_MS : BELIEVED_MS)
    this.#known.set(topic, { count, until })
    return count
  }
}
