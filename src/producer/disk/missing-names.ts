import type { Logger } from '../../core/model.js'

/** Missing topics that are named. Clients choose the names, so there may be many; the others are a number. */
const MAX_NAMED = 20

/** Tells operators once which topics Kafka does not have although records wait for them. */
export class MissingNames {
  readonly #cluster: string
  readonly #log: Logger
  readonly #names = new Set<string>()
  #areOthersTold = false

  constructor(cluster: string, log: Logger) {
    this.#cluster = cluster
    this.#log = log
  }

  /** The names that were missing first. A name keeps its place until Kafka has the topic. */
  get named(): ReadonlySet<string> {
    return this.#names
  }

  missing(topic: string): void {
    const cluster = this.#cluster
    if (this.#names.has(topic)) return
    if (this.#names.size < MAX_NAMED) {
      this.#names.add(topic)
      const text = `topic ${topic} does not exist: its records wait in the durable log until it does`
      this.#log.warn({ cluster, topic }, text)
    } else if (!this.#areOthersTold) {
      this.#areOthersTold = true
      this.#log.warn({ cluster }, 'more topics do not exist: their records wait in the durable log, too')
    }
  }

  /** The topic exists, or no record waits for it. */
  forget(topic: string): void {
    if (this.#names.delete(topic)) this.#areOthersTold = false
  }

  clear(): void {
    this.#names.clear()
    this.#areOthersTold = false
  }
}
