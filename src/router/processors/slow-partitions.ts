/** A call that takes longer than this, beyond the time for its bytes, is slow. */
const SLOW_MS = 500
/** A call that takes less than this shows that the broker itself is not slow. */
const QUICK_MS = 250
/** Partitions of slow calls are doubted until this long after the last slow call without suspects. */
const DOUBTED_MS = 10_000
const PARTS = 4
/** A broker is slow itself when so many calls of suspects were slow, or calls timed out, and none between was quick. */
const SLOW_CALLS_OF_SLOW_BROKER = 4
/** The calls of a slow broker are slow from this many times the duration of its quickest slow call. */
const SLOW_BROKER_FACTOR = 3
/** One of this many calls of slow partitions has one partition only. */
const CALLS_PER_TEST = 4
/** Maximum number of slow partitions that are remembered. The oldest is forgotten first. */
const MOST_REMEMBERED = 10_000

interface Keyed {
  readonly key: string
}
const keyOf = ({ key }: Keyed): string => key

/**
 * Finds the partitions of a broker that make produce calls slow, so that they can have calls of their own. A broker
 * answers a call when the slowest of its partitions is written to all in-sync replicas.
 *
 * A partition is suspected when it was in two slow calls and in no quick call between them, the second at most 10 s
 * after another slow call without suspects, or in a call that timed out. The suspects of a call are divided into four
 * parts, and each has a call of its own. A quick call clears its partitions; a slow one is divided again. A suspect whose call is
 * slow although it is alone in it has been found. Found partitions share their calls, and from time to time one is
 * alone in a call. They are cleared by a quick call, too.
 *
 * When all calls are slow, the broker or the way to it is slow, and no partition is. Then all suspects are cleared, and
 * only calls that are slower still count as slow, until one is quick.
 */
export class SlowPartitions {
  readonly #doubted = new Set<string>()
  #doubtedAt = 0
  /** The part of each suspect. */
  readonly #suspects = new Map<string, number>()
  readonly #found = new Set<string>()
  readonly #now: () => number
  #lastPart = 0
  #slowMs = SLOW_MS
  #slowCallsInARow = 0
  #quickestSlowMs = Number.POSITIVE_INFINITY
  #callsOfFound = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** Whether the partition must not share calls with partitions that are not slow. */
  has(partition: Keyed): boolean {
    if (this.#suspects.size + this.#found.size === 0) return false
    return this.#suspects.has(partition.key) || this.#found.has(partition.key)
  }

  /** Says for each waiting slow partition whether it belongs to the same call as the first one. */
  callOf({ key: first }: Keyed): (partition: Keyed) => boolean {
    const part = this.#suspects.get(first)
    if (part !== undefined) return ({ key }) => this.#suspects.get(key) === part
    if (this.#found.has(first) && ++this.#callsOfFound % CALLS_PER_TEST === 0) return ({ key }) => key === first
    return ({ key }) => !this.#suspects.has(key)
  }

  /** @param durationMs without the time that the bytes of the call may take */
  answered(batches: readonly Keyed[], durationMs: number): void {
    if (durationMs <= this.#slowMs) this.#wasQuick(batches, durationMs)
    else this.#wasSlow(batches.map(keyOf), durationMs)
  }

  timedOut(batches: readonly Keyed[], durationMs: number): void {
    if (this.#isOfSlowBroker(durationMs)) this.#clearAll()
    else this.#divide(batches.map(keyOf))
  }

  #wasQuick(batches: readonly Keyed[], durationMs: number): void {
    this.#slowCallsInARow = 0
    this.#quickestSlowMs = Number.POSITIVE_INFINITY
    if (durationMs <= QUICK_MS) this.#slowMs = SLOW_MS
    if (this.#doubted.size + this.#suspects.size + this.#found.size === 0) return
    for (const { key } of batches) {
      this.#doubted.delete(key)
      this.#suspects.delete(key)
      this.#found.delete(key)
    }
  }

  #wasSlow(keys: readonly string[], durationMs: number): void {
    const suspects = keys.filter(key => this.#suspects.has(key))
    if (suspects.length === 0) this.#doubt(keys.filter(key => !this.#found.has(key)))
    else if (this.#isOfSlowBroker(durationMs)) this.#clearAll()
    else this.#divide(suspects)
  }

  #doubt(keys: readonly string[]): void {
    const now = this.#now()
    if (now - this.#doubtedAt > DOUBTED_MS) this.#doubted.clear()
    const again = keys.filter(key => this.#doubted.delete(key))
    if (again.length > 0) this.#divide(again)
    else for (const key of keys) remember(this.#doubted, key)
    this.#doubtedAt = now
  }

  #isOfSlowBroker(durationMs: number): boolean {
    this.#quickestSlowMs = Math.min(this.#quickestSlowMs, durationMs)
    return ++this.#slowCallsInARow >= SLOW_CALLS_OF_SLOW_BROKER
  }

  #clearAll(): void {
    this.#slowMs = Math.max(SLOW_MS, SLOW_BROKER_FACTOR * this.#quickestSlowMs)
    this.#suspects.clear()
    this.#doubted.clear()
  }

  /** Keys begin with the topic, so in their order the partitions of a topic are in one part, or in neighbouring ones. */
  #divide(keys: readonly string[]): void {
    const [alone] = keys
    if (keys.length === 1) {
      this.#suspects.delete(alone!)
      remember(this.#found, alone!)
      return
    }
    const sorted = keys.toSorted()
    const size = Math.ceil(sorted.length / PARTS)
    for (const [at, key] of sorted.entries()) {
      if (at % size === 0) this.#lastPart++
      this.#suspects.set(key, this.#lastPart)
    }
    while (this.#suspects.size > MOST_REMEMBERED) {
      const [oldest] = this.#suspects.keys()
      this.#suspects.delete(oldest!)
    }
  }
}

function remember(keys: Set<string>, key: string): void {
  keys.add(key)
  if (keys.size <= MOST_REMEMBERED) return
  const [oldest] = keys
  keys.delete(oldest!)
}
