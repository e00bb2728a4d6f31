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

/** The oldest record of a topic in the log. */
interface Oldest {
  /** It is at this sequence or later. */
  from: number
  retentionMs: number
  /** Its age, divided by the retention of the topic. */
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
  #isLooking = false

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
    const looks = this.#turn.splice(0, TOPICS_PER_LOOK).map(topic => this.#lookAt(topic, log))
    await Promise.all(looks).catch(error =>
      this.#deps.log.error({ err: error }, 'the age of records in the durable log could not be checked')
    )
    this.#isLooking = false
  }

  async #lookAt({ name: topic, destination, isIdle }: DurableTopic, log: DurableLog): Promise<void> {
    const before = this.#oldest.get(topic) ?? { from: 0, retentionMs: Number.POSITIVE_INFINITY, share: 0 }
    // The last known retention counts while no broker answers.
    const retentionMs = (await this.#retentionOf(topic)) ?? before.retentionMs
    const destinations = new Map([[destination, before.from]])
    const { entries, nextSequence } = await log.read({ fromSequence: before.from, maxBytes: 1, destinations })
    const share = entries[0] === undefined || isIdle ? 0 : (this.#deps.now() - entries[0].acceptedAtMs) / retentionMs
    const oldest = { from: entries[0]?.sequence ?? nextSequence, retentionMs, share }
    this.#oldest.set(topic, oldest)
    if (share >= NEAR && before.share < NEAR) this.#deps.log.warn({ topic, share }, sentenceFor(topic, oldest))
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
