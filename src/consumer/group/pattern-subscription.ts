import type { AskRouter } from '../partition/ask.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import type { ConsumerSettings } from './settings.js'
import { ChosenTopicsWatch, type PatternFinder } from './topic-patterns.js'

const TIMEOUT_MS = 10_000
/** Names of topics that are not for everyone; Kafka marks only some of them as internal. */
const HIDDEN = '__'

/** The topics that match a pattern now. */
export interface MatchingNow {
  readonly topics: readonly string[]
  /** Topics of which the group is offered every record, because it may not have known them since they exist. */
  readonly later: ReadonlySet<string>
}

interface PatternSubscriptionOptions {
  readonly groupId: string
  readonly pattern: string
  readonly patterns: PatternFinder
  readonly ask: AskRouter
  readonly runtime: Pick<GroupRuntime, 'after' | 'log'>
  readonly settings: ConsumerSettings
  /** Called when the topics are known, and with each change. */
  readonly onChanged: (matching: MatchingNow) => void
}

/**
 * The topics that match a pattern, for a loop of a group. Which of them came later is known from former look-ups, and a
 * group that has committed an offset may have missed a topic while it had no member: then all count as later, and are read
 * from their beginning where nothing is committed.
 */
export class PatternSubscription {
  readonly #options: PatternSubscriptionOptions
  readonly #later = new Set<string>()
  #known: ReadonlySet<string> | undefined
  #watch: ChosenTopicsWatch | undefined
  #timer: Timer | undefined
  #isStopped = false

  constructor(options: PatternSubscriptionOptions) {
    this.#options = options
    this.#lookUpGroup()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#watch?.stop()
  }

  #lookUpGroup(): void {
    const { ask, groupId, runtime, settings } = this.#options
    ask('fetchGroupOffsets', { groupId, timeoutMs: TIMEOUT_MS }, result => {
      if (this.#isStopped) return
      const mayPass = result.type === 'timedOut' || (result.type === 'failed' && result.retriable)
      if (mayPass) this.#timer = runtime.after(settings.retryBackoffMs, () => this.#lookUpGroup())
      else {
        // A group of which nothing may be read cannot be joined either, and the loop is told so by its first request.
        if (result.type === 'success' && result.offsets.length > 0) this.#known = new Set()
        this.#watchTopics()
      }
    })
  }

  #watchTopics(): void {
    const { pattern: text, patterns, runtime, settings } = this.#options
    const isOpen = text.replace(/^\^/, '').startsWith(HIDDEN)
    const includes = (topic: string): boolean => isOpen || !topic.startsWith(HIDDEN)
    this.#watch = new ChosenTopicsWatch({
      runtime,
      topics: { text, client: undefined, includes, isLimited: false },
      patterns,
      checkMs: settings.partitionCheckMs,
      missingCheckMs: settings.missingTopicCheckMs,
      maxTopics: settings.maxTopicsPerGroup,
      onChosen: names => this.#chosen(names)
    })
  }

  #chosen(topics: readonly string[]): void {
    const [known, now] = [this.#known, new Set(topics)]
    if (known !== undefined) for (const topic of topics) if (!known.has(topic)) this.#later.add(topic)
    for (const topic of this.#later) if (!now.has(topic)) this.#later.delete(topic)
    this.#known = now
    this.#options.onChanged({ topics, later: this.#later })
  }
}
