import { deleteFrom, getOrAdd } from '../../core/maps.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { isTopic } from '../../router/requests/failures.js'
import type { GroupRuntime, Timer } from './group-runtime.js'

const TIMEOUT_MS = 10_000
const NO_LEADER = -1
const UNKNOWN = errorCodes.UNKNOWN_TOPIC_OR_PARTITION

export class FoundTopics {
  readonly #asked: readonly string[]
  readonly #topics: ReadonlyMap<string, TopicMetadata>

  constructor(asked: readonly string[], topics: ReadonlyMap<string, TopicMetadata>) {
    this.#asked = asked
    this.#topics = topics
  }

  /** Topics about which brokers cannot report anything at the moment. "The topic does not exist" is a clear answer. */
  get unclear(): readonly string[] {
    return this.#whoseErrorIs(code => code !== UNKNOWN && kafkaErrorOf(code).retriable)
  }

  /** Topics that brokers do not show to this process, and that may exist. */
  get denied(): readonly string[] {
    return this.#whoseErrorIs(code => code === errorCodes.TOPIC_AUTHORIZATION_FAILED)
  }

  /** Topics that do not exist. */
  get missing(): readonly string[] {
    return this.#whoseErrorIs(code => code === UNKNOWN)
  }

  /** The partitions of a topic; none: there is no such topic, or it is unclear or denied. */
  partitionsOf(topic: string): readonly number[] {
    const metadata = this.#topics.get(topic)
    return metadata?.errorCode === errorCodes.NONE ? metadata.partitions.map(({ partition }) => partition) : []
  }

  /** The incarnation of a topic; `undefined`: brokers do not report topic ids, or there is no such topic. */
  idOf(topic: string): string | undefined {
    return this.#topics.get(topic)?.topicId
  }

  leaderlessIn(topic: string): ReadonlySet<number> {
    const partitions = this.#topics.get(topic)?.partitions ?? []
    return new Set(partitions.filter(({ leaderId }) => leaderId === NO_LEADER).map(({ partition }) => partition))
  }

  #whoseErrorIs(is: (errorCode: number) => boolean): readonly string[] {
    return this.#asked.filter(topic => is(this.#topics.get(topic)?.errorCode ?? errorCodes.NONE))
  }
}

/**
 * Looks up topics. Calls back with `undefined` when no broker answers. Another client may subscribe to invalid topic
 * names. Such names are not looked up, and have no partitions.
 */
export function lookUpTopics(
  { ask }: Pick<GroupRuntime, 'ask'>,
  topics: readonly string[],
  onFound: (found: FoundTopics | undefined) => void
): void {
  const request = { topics: topics.filter(isTopic), timeoutMs: TIMEOUT_MS }
  ask('fetchTopicMetadata', request, result =>
    onFound(result.type === 'success' ? new FoundTopics(topics, result.topics) : undefined)
  )
}

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
    for (const topic of counts.keys()) getOrAdd(this.#watches, topic, () => new Set()).add(watch)
    this.#plan()
    if (watch.isEarly) this.#planMissing()
    return { cancel: () => this.#remove(watch) }
  }

  #plan(): void {
    if (this.#timer !== undefined || this.#watches.size === 0) return
    this.#timer = this.#options.after(this.#options.checkMs, () => {
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
    const isMissing = (topic: string, watches: ReadonlySet<Watch>): boolean =>
      [...watches].some(({ counts, isEarly }) => isEarly && counts.get(topic) === 0)
    const missing = [...this.#watches].filter(([topic, watches]) => isMissing(topic, watches))
    return missing.slice(0, MAX_NAMES).map(([topic]) => topic)
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
    for (const topic of watch.counts.keys()) deleteFrom(this.#watches, topic, watch)
    if (this.#watches.size > 0) return
    this.#timer?.cancel()
    this.#missingTimer?.cancel()
    this.#timer = this.#missingTimer = undefined
  }
}
