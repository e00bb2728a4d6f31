import type { GroupRuntime, Timer } from '../group/group-runtime.js'
import type { PatternChoice, PatternLookUps } from './topic-patterns.js'

interface MatchingTopics extends PatternChoice {
  /** True: `includes` leaves topics out. */
  readonly isLimited: boolean
}

export type ChosenTopics = { readonly topics: readonly string[] } | MatchingTopics

export interface InstanceTopicsOptions {
  readonly runtime: GroupRuntime
  readonly topics: ChosenTopics
  readonly patterns: Pick<PatternLookUps, 'find'>
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
  /** Called when the first look-up is over, with its topics, or without when there is none. */
  readonly #waiting: ((names: readonly string[] | undefined) => void)[] = []
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

  /** Calls back as soon as the topics are known. `undefined`: Kafka has not told them, or the subscription has ended. */
  whenKnown(run: (names: readonly string[] | undefined) => void): void {
    this.#waiting.push(run)
    if (this.#names) this.#answer()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#answer()
  }

  #answer(): void {
    for (const run of this.#waiting.splice(0)) run(this.#names)
  }

  #lookUp(choice: MatchingTopics): void {
    const { runtime, patterns } = this.#options
    patterns
      .find(choice)
      .catch((error: unknown) => {
        runtime.log.warn({ err: error }, 'a pattern of topics cannot be used')
        return []
      })
      // In a tick of the actor.
      .then(found => runtime.after(0, () => this.#found(choice, found)))
  }

  #found(choice: MatchingTopics, found: readonly string[] | undefined): void {
    if (this.#isStopped) return
    const { runtime, onChosen, checkMs, missingCheckMs, maxTopics } = this.#options
    if (found) {
      if (found.length > maxTopics)
        runtime.log.warn({ topics: found.length, limit: maxTopics }, 'a pattern matches too many topics')
      const names = [...found].sort().slice(0, maxTopics)
      if (names.join() !== this.#names?.join()) {
        this.#names = names
        onChosen(names)
      }
    }
    this.#answer()
    const pauseMs = this.names.length > 0 ? checkMs : missingCheckMs
    this.#timer = runtime.after(pauseMs, () => this.#lookUp(choice))
  }
}
