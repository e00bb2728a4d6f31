import { errorCodes } from '../../kafka/error-codes.js'
import type { GroupRuntime, Timer } from '../group/group-runtime.js'

const TIMEOUT_MS = 10_000

/** A compiled pattern; it has to match a whole name. */
export interface TopicPattern {
  matches(topic: string): boolean
}

interface MatchingTopics {
  readonly pattern: TopicPattern
  /** The text of the pattern. */
  readonly text: string
  /** True: `includes` leaves topics out. */
  readonly isLimited: boolean
  readonly includes: (topic: string) => boolean
}

export type ChosenTopics = { readonly topics: readonly string[] } | MatchingTopics

/** Compiles a regular expression in RE2's syntax, which takes linear time. Throws for a bad one. */
export async function compilePattern(pattern: string): Promise<TopicPattern> {
  const { RE2JS } = await import('re2js')
  const compiled = RE2JS.compile(pattern)
  return { matches: topic => compiled.matches(topic) }
}

export interface InstanceTopicsOptions {
  readonly runtime: GroupRuntime
  readonly topics: ChosenTopics
  /** Pause between two look-ups of the topics that match a pattern. */
  readonly checkMs: number
  /** The same pause while no topic matches. */
  readonly missingCheckMs: number
  /** More topics mean that a pattern matches by mistake; further topics are left out. */
  readonly maxTopics: number
  /** Called with the topics of the subscription, at once for named ones and with each change for a pattern. */
  readonly onChosen: (names: readonly string[]) => void
}

/** The topics of a subscription. Those of a pattern are looked up again and again. */
export class InstanceTopicsWatch {
  readonly #options: InstanceTopicsOptions
  /** `undefined`: the topics that match are not looked up yet. */
  #names: readonly string[] | undefined
  #timer: Timer | undefined
  #isStopped = false

  constructor(options: InstanceTopicsOptions) {
    this.#options = options
    const { topics, onChosen } = options
    if ('topics' in topics) {
      this.#names = topics.topics
      onChosen(topics.topics)
    } else this.#lookUp(topics)
  }

  get names(): readonly string[] {
    return this.#names ?? []
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #lookUp(choice: MatchingTopics): void {
    const { runtime, onChosen, checkMs, missingCheckMs, maxTopics } = this.#options
    runtime.ask('fetchTopicMetadata', { requestId: 0, topics: null, timeoutMs: TIMEOUT_MS }, result => {
      if (this.#isStopped) return
      if (result.type === 'success') {
        const found = [...result.topics.values()]
          .filter(
            ({ topic, errorCode, isInternal }) =>
              errorCode === errorCodes.NONE && !isInternal && choice.pattern.matches(topic)
          )
          .map(({ topic }) => topic)
          .filter(choice.includes)
          .sort()
        if (found.length > maxTopics)
          runtime.log.warn({ topics: found.length, limit: maxTopics }, 'a pattern matches too many topics')
        const names = found.slice(0, maxTopics)
        if (names.join() !== this.#names?.join()) {
          this.#names = names
          onChosen(names)
        }
      }
      const pauseMs = this.names.length > 0 ? checkMs : missingCheckMs
      this.#timer = runtime.after(pauseMs, () => this.#lookUp(choice))
    })
  }
}
