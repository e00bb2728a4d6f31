import type { Logger, MonotonicClock } from '../../core/model.js'
import type { DurableLog } from '../log/durable-log.js'
import type { TopicRetention } from './topic-retention.js'

/** A topic of the durable log that Kafka has. */
export interface WatchedTopic {
  readonly name: string
  readonly destination: string
  /** Nothing of it is in the log or on its way. */
  readonly isIdle: boolean
}

export interface RetentionWatchOptions {
  readonly topics: () => Iterable<WatchedTopic>
  readonly retentionOf: (topic: string) => Promise<TopicRetention>
  readonly logOf: () => Pick<DurableLog, 'read'>
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly log: Logger
}

/** Topics that are asked about, and whose oldest record is read, in one look. */
const TOPICS_PER_LOOK = 20
/** Settings of a topic may change. */
const ASK_AGAIN_MS = 60_000
/** From this share of the retention on it is told. */
export const NEAR = 0.5

interface Known {
  retention: TopicRetention
  askedAt: number
  /** Its first record in the log is not before. */
  from: number
  share: number
  /** What was logged last: 1 near, 2 beyond. */
  told: 0 | 1 | 2
}

/**
 * Compares how long records have waited in the durable log with how long Kafka keeps them: it counts from the time of
 * acceptance, so a record that has waited longer is deleted as soon as Kafka has it.
 */
export class RetentionWatch {
  readonly #options: RetentionWatchOptions
  readonly #known = new Map<string, Known>()
  /** Those that are looked at next; the others come after them. */
  #turn: WatchedTopic[] = []
  #isLooking = false
  #isRefusalTold = false

  constructor(options: RetentionWatchOptions) {
    this.#options = options
  }

  /** The largest share of its retention for which a record of any topic has waited; 0: none waits, or Kafka keeps it for ever. */
  get share(): number {
    return [...this.#known.values()].reduce((most, { share }) => Math.max(most, share), 0)
  }

  /** One sentence for each topic whose records have waited for too long. */
  get warnings(): readonly string[] {
    return [...this.#known].filter(([, { share }]) => share >= NEAR).map(([name, known]) => sentenceFor(name, known))
  }

  /** To be called now and then. Never rejects; a look that is under way is not joined by another one. */
  async look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      await Promise.all(this.#next().map(topic => this.#lookAt(topic)))
    } catch (error) {
      this.#options.log.error({ err: error }, 'the age of records in the durable log could not be looked at')
    }
    this.#isLooking = false
  }

  #next(): WatchedTopic[] {
    const all = new Map([...this.#options.topics()].map(topic => [topic.name, topic]))
    for (const name of this.#known.keys()) if (!all.has(name)) this.#known.delete(name)
    if (this.#turn.length === 0) this.#turn = [...all.values()]
    return this.#turn.splice(0, TOPICS_PER_LOOK).filter(({ name }) => all.has(name))
  }

  async #lookAt(topic: WatchedTopic): Promise<void> {
    const known = this.#knownOf(topic.name)
    if (this.#options.clock() - known.askedAt >= ASK_AGAIN_MS) await this.#ask(topic.name, known)
    const { retention } = known
    if (retention.type !== 'known' || topic.isIdle) known.share = 0
    else known.share = (await this.#ageMs(topic, known)) / retention.retentionMs
    this.#tell(topic.name, known)
  }

  #knownOf(name: string): Known {
    let known = this.#known.get(name)
    if (known === undefined) {
      known = { retention: { type: 'unknown' }, askedAt: Number.NEGATIVE_INFINITY, from: 0, share: 0, told: 0 }
      this.#known.set(name, known)
    }
    return known
  }

  /** Keeps the last known retention while no broker answers. */
  async #ask(name: string, known: Known): Promise<void> {
    const retention = await this.#options.retentionOf(name)
    if (retention.type === 'unknown') return
    known.retention = retention
    known.askedAt = this.#options.clock()
    if (retention.type === 'known' || this.#isRefusalTold) return
    this.#isRefusalTold = true
    this.#options.log.warn(
      { topic: name, reason: retention.reason },
      'how long Kafka keeps the records of a topic is not known: nothing tells when records have waited too long in the durable log. Allow DescribeConfigs for topics, or set wal.timestamps to sent'
    )
  }

  async #ageMs({ destination }: WatchedTopic, known: Known): Promise<number> {
    const destinations = new Map([[destination, known.from]])
    const { entries, nextSequence } = await this.#options
      .logOf()
      .read({ fromSequence: known.from, maxBytes: 1, destinations })
    known.from = entries[0]?.sequence ?? nextSequence
    return entries[0] === undefined ? 0 : Math.max(0, this.#options.now() - entries[0].acceptedAtMs)
  }

  #tell(name: string, known: Known): void {
    const { share } = known
    const level = share >= 1 ? 2 : share >= NEAR ? 1 : 0
    if (level > known.told) this.#options.log.warn({ topic: name, share }, sentenceFor(name, known))
    known.told = level
  }
}

const hoursOf = (milliseconds: number): string => `${(milliseconds / 3_600_000).toPrecision(2)} h`

function sentenceFor(topic: string, { share, retention }: Known): string {
  const retentionMs = retention.type === 'known' ? retention.retentionMs : 0
  const waited = `records of ${topic} have waited ${hoursOf(share * retentionMs)} in the durable log`
  const kept = `Kafka keeps them for ${hoursOf(retentionMs)} from their acceptance (retention.ms)`
  const end =
    share >= 1 ? 'and deletes the oldest ones as soon as it has them' : 'and deletes those that wait longer than that'
  return `${waited}; ${kept}, ${end}. Raise retention.ms, or set wal.timestamps to sent`
}
