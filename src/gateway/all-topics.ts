import { TimedOutError } from '../core/errors.js'
import type { TopicMetadata } from '../kafka/calls.js'

/** The Router's own answer, which has the cause, comes first. */
const LATER_MS = 100

type Topics = ReadonlyMap<string, TopicMetadata>

/**
 * Asks Kafka for all topics, once at a time: requests that come while Kafka is asked share the next answer. An answer about
 * thousands of topics takes megabytes, and hundreds of requests at the same time would each hold one of their own.
 */
export class AllTopics {
  readonly #fetch: (timeoutMs: number) => Promise<Topics>
  #open: Promise<void> = Promise.resolve()
  #next: Promise<Topics> | undefined
  /** The longest of those that wait for the next answer. */
  #timeoutMs = 0

  constructor(fetch: (timeoutMs: number) => Promise<Topics>) {
    this.#fetch = fetch
  }

  /** Topics as they were at a moment after the call. @throws what Kafka is asked with, TimedOutError after `timeoutMs` */
  ask(timeoutMs: number): Promise<Topics> {
    this.#timeoutMs = Math.max(this.#timeoutMs, timeoutMs)
    const asked = (this.#next ??= this.#open.then(() => this.#begin()))
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new TimedOutError('the request for the topics', timeoutMs))
      const timer = setTimeout(late, timeoutMs + LATER_MS)
      asked.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }

  #begin(): Promise<Topics> {
    const topics = this.#fetch(this.#timeoutMs)
    this.#next = undefined
    this.#timeoutMs = 0
    this.#open = topics.then(
      () => undefined,
      () => undefined
    )
    return topics
  }
}
