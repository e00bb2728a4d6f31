import type { ActorRef } from '../../core/actor/actor.js'
import type { Notice } from '../../core/notice.js'
import { valuesOf } from '../../kafka/protocol/administration.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { DurableLog } from '../log/durable-log.js'
import type { DeliveryDeps } from '../memory/delivery.js'
import type { DurableTopic } from './durable-topic.js'

/** At most this many topics are checked at a time. */
const TOPICS_PER_LOOK = 20
/** A warning is logged from this share of the retention on. */
const NEAR = 0.5
/** Records of a topic that Kafka tells of for the first time have waited when they are older. */
const MIN_AGE_MS = 10_000

/** The oldest record of a topic in the log. */
interface Oldest {
  /** Lowest sequence that the record can have. */
  from: number
  retentionMs: number
  /** Age of the record divided by the retention of the topic. */
  share: number
}

/**
 * Compares the age of records in the durable log with the retention of their topic. Kafka counts from the time of
 * acceptance, so a record that has waited longer than the retention is deleted on arrival.
 */
export class RetentionWatch {
  readonly #deps: DeliveryDeps
  readonly #retentionOf: (topic: string) => Promise<number | undefined>
  readonly #oldest = new Map<string, Oldest>()
  /** Topics that are checked next, before all others. */
  #turn: DurableTopic[] = []
  /** Topics that Kafka has told of for the first time. */
  readonly #found = new Set<DurableTopic>()
  #isLooking = false
  #isLookingAtFound = false

  constructor(deps: DeliveryDeps, retentionOf: (topic: string) => Promise<number | undefined>) {
    this.#deps = deps
    this.#retentionOf = retentionOf
  }

  /** The highest share of all topics. 0: no record waits, or Kafka keeps them for ever. */
  get share(): number {
    return [...this.#oldest.values()].reduce((most, { share }) => Math.max(most, share), 0)
  }

  /** One for each topic whose records have waited for too long. */
  get warnings(): readonly Notice[] {
    return [...this.#oldest]
      .filter(([, { share }]) => share >= NEAR)
      .map(([topic, oldest]) => ({ kind: 'recordsOld', text: sentenceFor(topic, oldest) }))
  }

  /** Checks some of the topics that Kafka has. Does nothing while the last check is still running. Never rejects. */
  async look(topics: Iterable<DurableTopic>, log: DurableLog): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    if (this.#turn.length === 0) {
      this.#turn = [...topics].filter(({ topicId, partitionCount }) => topicId !== '' || partitionCount > 0)
      const names = new Set(this.#turn.map(({ name }) => name))
      for (const name of this.#oldest.keys()) if (!names.has(name)) this.#oldest.delete(name)
    }
    await this.#lookAtAll(this.#turn.splice(0, TOPICS_PER_LOOK), log)
    this.#isLooking = false
  }

  /**
   * Kafka tells of a topic for the first time: its records are about to be sent, so those that have waited are checked now, as
   * many topics at a time as in one look. Never throws.
   */
  found(topic: DurableTopic, log: DurableLog): void {
    if (topic.isIdle || this.#oldest.has(topic.name)) return
    this.#found.add(topic)
    if (this.#isLookingAtFound) return
    this.#isLookingAtFound = true
    // More topics may be found in this tick: they are checked together.
    setImmediate(() => void this.#lookAtFound(log))
  }

  async #lookAtFound(log: DurableLog): Promise<void> {
    while (this.#found.size > 0) {
      const topics = [...this.#found].slice(0, TOPICS_PER_LOOK)
      for (const topic of topics) this.#found.delete(topic)
      await this.#lookAtAll(topics, log, MIN_AGE_MS)
    }
    this.#isLookingAtFound = false
  }

  /** Checks no further topics that were found. */
  close(): void {
    this.#found.clear()
  }

  async #lookAtAll(topics: readonly DurableTopic[], log: DurableLog, minAgeMs = 0): Promise<void> {
    await Promise.all(topics.map(topic => this.#lookAt(topic, log, minAgeMs))).catch(error =>
      this.#deps.log.error({ err: error }, 'the age of records in the durable log could not be checked')
    )
  }

  /** @param minAgeMs Kafka is not asked about topics whose oldest record is younger */
  async #lookAt({ name: topic, destination, isIdle }: DurableTopic, log: DurableLog, minAgeMs: number): Promise<void> {
    const before = this.#oldest.get(topic) ?? { from: 0, retentionMs: Number.POSITIVE_INFINITY, share: 0 }
    const destinations = new Map([[destination, before.from]])
    // The log is read first: the record may be in Kafka when that has answered.
    const { entries, nextSequence } = await log.read({ fromSequence: before.from, maxBytes: 1, destinations })
    const isWaiting = entries[0] !== undefined && !isIdle
    // The wall clock may have stepped back.
    const ageMs = isWaiting ? Math.max(0, this.#deps.now() - entries[0]!.acceptedAtMs) : 0
    if (ageMs < minAgeMs) return
    // The last known retention counts while no broker answers.
    const retentionMs = (await this.#retentionOf(topic)) ?? before.retentionMs
    const share = ageMs === 0 ? 0 : ageMs / retentionMs
    const isToldOf = (this.#oldest.get(topic)?.share ?? 0) >= NEAR
    const oldest = { from: entries[0]?.sequence ?? nextSequence, retentionMs, share }
    this.#oldest.set(topic, oldest)
    if (share >= NEAR && !isToldOf) this.#deps.log.warn({ topic, share }, sentenceFor(topic, oldest))
  }
}

const hoursOf = (milliseconds: number): string => `${(milliseconds / 3_600_000).toPrecision(2)} h`

const sentenceFor = (topic: string, { share, retentionMs }: Oldest): string =>
  `records of ${topic} have waited ${hoursOf(share * retentionMs)} in the durable log; Kafka keeps them for ${hoursOf(retentionMs)} from their acceptance (retention.ms), and deletes those that wait longer than that. Raise retention.ms, or set wal.timestamps to sent`

/** Asks Kafka how long a topic keeps a record, from its timestamp on; `undefined`: no broker tells. Never rejects. */
export const askForRetention =
  (router: ActorRef<RouterMessage>) =>
  async (topic: string): Promise<number | undefined> => {
    const resources = [{ type: 'topic', name: topic }] as const
    const asked = { type: 'describeConfigs', resources, timeoutMs: 2_000 } as const
    const result = await askRouter(router, asked).catch(() => undefined)
    const configs = result?.type === 'success' ? result.configs.get(topic) : undefined
    return configs && retentionOf(valuesOf(configs))
  }

/** @param configs all settings of a topic, those that it has from its broker (`log.retention.ms`) included */
export function retentionOf(configs: ReadonlyMap<string, string | null>): number | undefined {
  const isDeleted = (configs.get('cleanup.policy') ?? 'delete').includes('delete')
  const retentionMs = Number(configs.get('retention.ms') ?? Number.NaN)
  const isEndless = !isDeleted || configs.get('message.timestamp.type') === 'LogAppendTime' || retentionMs < 0
  if (isEndless) return Number.POSITIVE_INFINITY
  return Number.isNaN(retentionMs) ? undefined : retentionMs
}
