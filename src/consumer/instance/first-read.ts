import type { GroupRuntime } from '../group/group-runtime.js'
import { lookUpTopics } from '../group/topic-look-ups.js'

/**
 * Finds the topics of one subscription that are not there when the instance first reads. Their partitions begin at the earliest
 * record once they come: what is written to them later has to be offered.
 */
export class FirstRead {
  readonly #runtime: Pick<GroupRuntime, 'ask'>
  readonly #onMissing: (topic: string) => void
  /** The topics of the subscription; `undefined`: those that match its pattern are not known yet. */
  #chosen: ReadonlySet<string> | undefined
  /** Topics of which it is not known whether they were there. */
  readonly #open = new Set<string>()
  #hasRead = false
  #isAsking = false

  /** @param onMissing called for each topic that is not there at the first read, or has come to match the pattern since */
  constructor(runtime: Pick<GroupRuntime, 'ask'>, onMissing: (topic: string) => void) {
    this.#runtime = runtime
    this.#onMissing = onMissing
  }

  /** The topics of the subscription are known, or have changed. */
  chosen(topics: readonly string[]): void {
    for (const topic of topics) {
      if (this.#chosen?.has(topic)) continue
      if (this.#hasRead) this.#onMissing(topic)
      else this.#open.add(topic)
    }
    this.#chosen = new Set(topics)
  }

  /** A read begins. */
  begins(): void {
    if (this.#chosen === undefined) return
    this.#hasRead = true
    if (this.#isAsking || this.#open.size === 0) return
    this.#isAsking = true
    lookUpTopics(this.#runtime, [...this.#open], found => {
      this.#isAsking = false
      if (found === undefined) return
      const hidden = new Set([...found.unclear, ...found.denied])
      for (const topic of found.missing) this.#onMissing(topic)
      for (const topic of this.#open) if (!hidden.has(topic)) this.#open.delete(topic)
    })
  }
}
