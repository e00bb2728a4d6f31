import { type ActorRef, ask } from '../../core/actor/actor.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { DescribeTopicConfigsResult } from '../../router/messages/internal.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import type { DurableLog } from '../log/durable-log.js'

/** A topic that Kafka has and that may have records in the log. */
export interface WatchedTopic {
  readonly name: string
  readonly destination: string
  /** It has no open entries and no batch on its way. */
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

/** At most this many topics are checked at a time. */
const TOPICS_PER_LOOK = 20
/** The retention of a topic is asked for again after this time. */
const ASK_AGAIN_MS = 60_000
/** A warning is logged from this share of the retention on. */
export const NEAR = 0.5

interface Known {
  retention: TopicRetention
  askedAt: number
  /** Its first record in the log is at this sequence or later. */
  from: number
  share: number
  /** The last warning: 1 near the retention, 2 beyond it. */
  told: 0 | 1 | 2
}

/**
 * Compares the age of records in the durable log with the retention of their topic. Kafka counts from the time of
 * acceptance, so a record that has waited longer than the retention is deleted on arrival.
 */
export class RetentionWatch {
  readonly #options: RetentionWatchOptions
  readonly #known = new Map<string, Known>()
  /** Topics that are checked next, before all others. */
  #turn: WatchedTopic[] = []
  #isLooking = false
  #isRefusalTold = false

  constructor(options: RetentionWatchOptions) {
    this.#options = options
  }

  /** Greatest age of a record, divided by the retention of its topic. 0: no record waits, or Kafka keeps them for ever. */
  get share(): number {
    return [...this.#known.values()].reduce((most, { share }) => Math.max(most, share), 0)
  }

  /** One sentence for each topic whose records have waited for too long. */
  get warnings(): readonly string[] {
    return [...this.#known].filter(([, { share }]) => share >= NEAR).map(([name, known]) => sentenceFor(name, known))
  }

  /** Checks some topics. Does nothing while the last check is still running. Never rejects. */
  async look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      await Promise.all(this.#next().map(topic => this.#lookAt(topic)))
    } catch (error) {
      this.#options.log.error({ err: error }, 'the age of records in the durable log could not be checked')
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
      'the retention of a topic is not known, so there is no warning when its records wait too long in the durable log. Allow DescribeConfigs for topics, or set wal.timestamps to sent'
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

/** How long a topic keeps a record, counted from the timestamp of the record. */
export type TopicRetention =
  /** Infinite: for ever, or counted from the time at which the broker has appended the record. */
  | { readonly type: 'known'; readonly retentionMs: number }
  /** Kafka refuses to tell the retention. */
  | { readonly type: 'refused'; readonly reason: string }
  /** No broker has answered. */
  | { readonly type: 'unknown' }

const TIMEOUT_MS = 2_000
/** Margin beyond the time limit of the call: the Router itself answers within the limit. */
const BELT_MS = 1_000

/** Asks Kafka. Never rejects. */
export const askForRetention =
  (router: ActorRef<RouterMessage>) =>
  async (topic: string): Promise<TopicRetention> => {
    try {
      const result = await ask<DescribeTopicConfigsResult>('retention of a topic', TIMEOUT_MS + BELT_MS, requester =>
        router.tell({
          type: 'describeTopicConfigs',
          topics: [topic],
          timeoutMs: TIMEOUT_MS,
          requester
        })
      )
      return toRetention(topic, result)
    } catch {
      return { type: 'unknown' }
    }
  }

function toRetention(topic: string, result: DescribeTopicConfigsResult): TopicRetention {
  if (result.type === 'failed') {
    return result.retriable === true ? { type: 'unknown' } : { type: 'refused', reason: result.message }
  }
  const configs = result.type === 'success' ? result.configs.get(topic) : undefined
  return configs === undefined ? { type: 'unknown' } : retentionOf(configs)
}

/** @param configs all settings of a topic, those that it has from its broker (`log.retention.ms`) included */
export function retentionOf(configs: ReadonlyMap<string, string | null>): TopicRetention {
  const policies = (configs.get('cleanup.policy') ?? 'delete').split(',').map(policy => policy.trim())
  const retentionMs = Number(configs.get('retention.ms') ?? Number.NaN)
  if (!policies.includes('delete') || configs.get('message.timestamp.type') === 'LogAppendTime' || retentionMs < 0) {
    return { type: 'known', retentionMs: Number.POSITIVE_INFINITY }
  }
  return Number.isNaN(retentionMs) ? { type: 'unknown' } : { type: 'known', retentionMs }
}
