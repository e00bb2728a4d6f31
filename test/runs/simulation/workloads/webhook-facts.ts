import type { KafkaRecord } from '../../../../src/core/model.js'
import { groupOfWebhook } from '../../../../src/webhooks/definition.js'
import type { Brokers } from '../brokers.js'

/** A record of the topic of a webhook: `PARTITION@OFFSET`. */
export const placeOf = (partition: number, offset: number): string => `${partition}@${offset}`

/** A committed position, as Kafka has stored it. */
export interface StoredCommit {
  readonly at: number
  readonly partition: number
  readonly offset: number
  /** Acknowledged offsets above. */
  readonly acked: readonly { readonly from: number; readonly to: number }[]
  /** Of the log, at that moment. */
  readonly logStart: number
}

/** An attempt, as the gateway begins it. */
export interface BegunAttempt {
  readonly at: number
  readonly host: string
  readonly partition: number
  readonly offset: number
}

/** Records that a gateway has named as lost: the offsets from `from` to `to - 1`. */
export interface LostRange {
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** All that is known of one webhook at all gateways. Times are simulated milliseconds. */
export class WebhookFacts {
  readonly name: string
  readonly topic: string
  readonly group: string
  /** When the endpoint first answered 2xx, by place. */
  readonly delivered = new Map<string, number>()
  /** When the first dead letter was handed to Kafka, by place. */
  readonly letters = new Map<string, number>()
  /** When a person first asked for a skip, by place. Those that were refused are not among them. */
  readonly skipped = new Map<string, number>()
  /** Places of which a skip was asked. */
  readonly skips = new Set<string>()
  readonly attempts: BegunAttempt[] = []
  readonly commits: StoredCommit[] = []
  readonly lost: LostRange[] = []
  /** When a person has said that nothing is known any more of what the endpoint had asked for. */
  readonly freshAt: number[] = []
  /** Newest committed offset by partition. */
  readonly position = new Map<number, number>()
  /** Largest of its definitions. */
  maxInFlight = 0
  /** Smallest of its definitions. */
  maxAttempts = Number.POSITIVE_INFINITY

  constructor(name: string, topic: string) {
    this.name = name
    this.topic = topic
    this.group = groupOfWebhook(name)
  }
}

export function noteFirst(times: Map<string, number>, place: string, at: number): void {
  if (!times.has(place)) times.set(place, at)
}

/** The records of logs that lose their starts. */
export class RememberedLogs {
  readonly #brokers: Brokers
  readonly #known = new Map<string, Map<number, KafkaRecord>>()
  readonly #deletions = new Map<string, { readonly at: number; readonly offset: number }[]>()

  constructor(brokers: Brokers) {
    this.#brokers = brokers
  }

  /** By offset, also those that are gone. */
  of(topic: string, partition: number): ReadonlyMap<number, KafkaRecord> {
    const name = `${topic}/${partition}`
    const known = this.#known.get(name) ?? new Map<number, KafkaRecord>()
    this.#known.set(name, known)
    for (const record of this.#brokers.cluster.records(topic, partition)) known.set(record.offset, record)
    return known
  }

  /** The records below an offset are about to be deleted. */
  deletes(topic: string, partition: number, offset: number, at: number): void {
    this.of(topic, partition)
    const name = `${topic}/${partition}`
    this.#deletions.set(name, [...(this.#deletions.get(name) ?? []), { at, offset }])
  }

  /** Since when a record may be gone. Infinity: it is in the log. */
  goneAt(topic: string, partition: number, offset: number): number {
    if (offset >= this.#brokers.cluster.logStartOffset(topic, partition)) return Number.POSITIVE_INFINITY
    const deletion = this.#deletions.get(`${topic}/${partition}`)?.find(one => one.offset > offset)
    return deletion?.at ?? Number.POSITIVE_INFINITY
  }
}
