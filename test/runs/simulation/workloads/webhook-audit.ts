import type { KafkaRecord } from '../../../../src/core/model.js'
import type { Brokers } from '../brokers.js'
import { bytesText } from '../record-text.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'
import type { ReceivedRequest, WebhookEndpoint } from './webhook-endpoint.js'
import { placeOf, type RememberedLogs, type StoredCommit, type WebhookFacts } from './webhook-facts.js'

export interface AuditedWebhook {
  readonly facts: WebhookFacts
  readonly endpoint: WebhookEndpoint
}

export interface WebhookAuditOptions {
  readonly name: string
  readonly brokers: Brokers
  readonly logs: RememberedLogs
  readonly webhooks: readonly AuditedWebhook[]
  /** The topic of dead letters. */
  readonly letters: string
}

const LOOK_EVERY_MS = 200
const TIMEOUT_MS = 5_000
/** In the end the first ones are refused until all others are delivered. */
const LAST_KEYS = Array.from({ length: 12 }, (_, nth) => `last-${nth}`)
const HELD_KEYS = new Set(LAST_KEYS.slice(0, 2))
const NONE = Number.POSITIVE_INFINITY

/**
 * What became of each record of the topics of webhooks: it has a 2xx, a dead letter, a skip, or is named as lost. Compares what Kafka,
 * endpoints and gateways have said, and when.
 */
export class WebhookAudit extends Client<WebhookAuditOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { written: 0 }

  start(): void {}

  /** All records are done, and committed. */
  get isFinished(): boolean {
    const { brokers, webhooks } = this.options
    return webhooks.every(({ facts: { topic, position } }) =>
      partitionsOf(brokers, topic).every(
        partition => (position.get(partition) ?? -1) >= brokers.cluster.highWatermark(topic, partition)
      )
    )
  }

  /** Records of keys that are refused hold no others; in the end they are delivered, too. */
  tryOnceMore(succeeded: () => void): void {
    const { webhooks } = this.options
    const topics = [...new Set(webhooks.map(({ facts }) => facts.topic))]
    for (const { endpoint } of webhooks)
      for (const key of HELD_KEYS) endpoint.held.add(Buffer.from(key).toString('base64'))
    const places = new Map(topics.map(topic => [topic, [] as string[]]))
    const open = topics.flatMap(topic => LAST_KEYS.map(key => ({ topic, key })))
    const isDelivered = (): boolean =>
      webhooks.every(({ facts }) => places.get(facts.topic)!.every(place => this.#isDone(facts, place)))
    const wait = (): void => {
      if (!isDelivered()) return void setTimeout(wait, LOOK_EVERY_MS)
      for (const { endpoint } of webhooks) endpoint.held.clear()
      succeeded()
    }
    const write = (): void => {
      const next = open[0]
      if (next === undefined) return void wait()
      const id = `${this.name}.${++this.counts.written!}`
      this.deps.service.verbs
        .produce([{ ...next, value: `${id}|` }], { partitioner: 'crc32', deadlineMs: TIMEOUT_MS })
        .outcomes()
        .then(([outcome]) => {
          if (outcome?.type !== 'delivered') return void setTimeout(write, LOOK_EVERY_MS)
          open.shift()
          const { partition, offset } = outcome
          if (offset >= 0 && !HELD_KEYS.has(next.key)) places.get(next.topic)!.push(placeOf(partition, offset))
          write()
        })
    }
    write()
  }

  #isDone({ delivered, letters, skipped }: WebhookFacts, place: string): boolean {
    return delivered.has(place) || letters.has(place) || skipped.has(place)
  }

  override check(): readonly Violation[] {
    const letters = this.#checkLetters()
    for (const { facts } of this.options.webhooks) {
      const { topic } = facts
      const ofWebhook = letters.get(facts.name) ?? new Set()
      for (const partition of partitionsOf(this.options.brokers, topic))
        this.#checkPartition(facts, partition, ofWebhook)
      this.#checkStart(facts)
    }
    this.#checkRequests()
    return super.check()
  }

  /** The start of all partitions is committed in one call. */
  #checkStart({ name, topic, commits }: WebhookFacts): void {
    const firsts = partitionsOf(this.options.brokers, topic).map(partition =>
      commits.find(one => one.partition === partition)
    )
    if (new Set(firsts.map(one => one?.at)).size > 1)
      this.violated('start in parts', `${name}: ${firsts.map(one => `${one?.offset} at ${one?.at}`).join(', ')}`)
  }

  #checkPartition(facts: WebhookFacts, partition: number, letters: ReadonlySet<string>): void {
    const { name, topic, delivered, skipped, lost } = facts
    const { logs, brokers } = this.options
    const records = logs.of(topic, partition)
    const commits = facts.commits.filter(one => one.partition === partition)
    const begin = commits[0]?.offset ?? 0
    const settledAt = (offset: number): number => {
      const place = placeOf(partition, offset)
      const letterAt = letters.has(place) ? facts.letters.get(place) : undefined
      return Math.min(delivered.get(place) ?? NONE, letterAt ?? NONE, skipped.get(place) ?? NONE)
    }
    const isNamed = (offset: number): boolean =>
      lost.some(one => one.partition === partition && one.from <= offset && offset < one.to)
    for (const offset of records.keys()) {
      if (offset < begin) continue
      this.counts.records = (this.counts.records ?? 0) + 1
      if (settledAt(offset) === NONE && !isNamed(offset))
        this.violated('lost in silence', `${name} ${placeOf(partition, offset)}`)
    }
    const logStart = brokers.cluster.logStartOffset(topic, partition)
    for (const { partition: one, from, to } of lost)
      if (one === partition && to > logStart) this.violated('not lost', `${name} ${from} to ${to} of ${partition}`)
    this.#checkCommits(facts, commits, settledAt)
    const goneAt = (offset: number): number => Math.min(settledAt(offset), logs.goneAt(topic, partition, offset))
    this.#checkOrder(
      facts,
      partition,
      [...records.values()].filter(({ offset }) => offset >= begin),
      goneAt
    )
  }

  /** No commit passes a record that has not been settled. */
  #checkCommits({ name }: WebhookFacts, commits: readonly StoredCommit[], settledAt: (offset: number) => number): void {
    const [first, ...others] = commits
    if (first === undefined) return
    const known = new Set<number>()
    let position = first.offset
    for (const { at, partition, offset, acked, logStart } of others) {
      for (const { from, to } of [{ from: position, to: offset }, ...acked])
        for (let one = from; one < to; one++) {
          if (known.has(one)) continue
          known.add(one)
          if (settledAt(one) > at && one >= logStart)
            this.violated('commit passes', `${name} ${placeOf(partition, one)} at ${Math.round(at)}`)
        }
      position = Math.max(position, offset)
    }
  }

  /** A record is tried when those of its key before it are settled. */
  #checkOrder(
    { name, attempts }: WebhookFacts,
    partition: number,
    records: readonly KafkaRecord[],
    settledAt: (offset: number) => number
  ): void {
    const lanes = new Map<string, number>()
    /** By offset. */
    const mayBegin = new Map<number, number>()
    for (const { key, offset } of records.toSorted((one, other) => one.offset - other.offset)) {
      if (key === null) continue
      const lane = key.toString('latin1')
      const before = lanes.get(lane) ?? 0
      mayBegin.set(offset, before)
      lanes.set(lane, Math.max(before, settledAt(offset)))
    }
    for (const { at, host, partition: of, offset } of attempts)
      if (of === partition && at < (mayBegin.get(offset) ?? 0))
        this.violated('out of order', `${host} ${name} ${placeOf(of, offset)} at ${Math.round(at)}`)
  }

  /** Dead letters are the records as they were. @returns their places by webhook */
  #checkLetters(): ReadonlyMap<string, Set<string>> {
    const { brokers, logs, letters, webhooks } = this.options
    const found = new Map<string, Set<string>>()
    for (const partition of partitionsOf(brokers, letters))
      for (const { key, value, headers } of logs.of(letters, partition).values()) {
        const said = (name: string): string => String(headers.findLast(one => one.key === `castellan-${name}`)?.value)
        const [webhook, topic, of, offset] = [
          said('webhook'),
          said('topic'),
          Number(said('partition')),
          Number(said('offset'))
        ]
        const place = placeOf(of, offset)
        const record = logs.of(topic, of).get(offset)
        const isSame =
          record !== undefined &&
          bytesText(record.key) === bytesText(key) &&
          bytesText(record.value) === bytesText(value) &&
          webhooks.some(({ facts }) => facts.name === webhook && facts.topic === topic)
        if (!isSame) this.violated('damaged dead letter', `${webhook} ${topic} ${place}`)
        found.set(webhook, (found.get(webhook) ?? new Set()).add(place))
      }
    return found
  }

  /** A record has one id, which no other has, and its requests have what it has. */
  #checkRequests(): void {
    const idOf = new Map<string, string>()
    const recordOf = new Map<string, string>()
    for (const { facts, endpoint } of this.options.webhooks)
      for (const request of endpoint.requests) {
        const { headers } = request
        const [id = '', topic = '', partition, offset] = [
          'webhook-id',
          ...['topic', 'partition', 'offset'].map(name => `x-castellan-${name}`)
        ].map(name => headers.get(name))
        const record = `${topic}/${partition}@${offset}`
        if ((idOf.get(record) ?? id) !== id) this.violated('two ids', `${record}: ${id} and ${idOf.get(record)}`)
        if ((recordOf.get(id) ?? record) !== record)
          this.violated('two records', `${id}: ${record} and ${recordOf.get(id)}`)
        idOf.set(record, id)
        recordOf.set(id, record)
        if (
          topic !== facts.topic ||
          !this.#isOf(request, this.options.logs.of(topic, Number(partition)).get(Number(offset)))
        )
          this.violated('another request', `${facts.name} ${record}`)
      }
  }

  #isOf({ path, headers, body }: ReceivedRequest, record: KafkaRecord | undefined): boolean {
    if (record === undefined) return false
    const { key, value } = record
    return (
      path.startsWith('POST /hooks/') &&
      body === (value?.toString('latin1') ?? '') &&
      headers.get('x-castellan-null') === (value === null ? 'value' : undefined) &&
      headers.get('x-castellan-key') === key?.toString('base64')
    )
  }
}

const partitionsOf = (brokers: Brokers, topic: string): readonly number[] => [
  ...Array(brokers.partitionsOf(topic)).keys()
]
