import type { ProduceRecord } from '../../core/model.js'
import type { Gateway, PartitionerName } from '../../gateway/gateway.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { HookCalls } from './hooks/hook-calls.js'
import type { KafboySettings } from './settings.js'

/** The settings of one topic: its own ones, else those of all topics. */
export type TopicOptions = Pick<
  KafboySettings,
  'maxBufferRecords' | 'bufferTtlMs' | 'partitionStrategy' | 'stickyPartitionRecords'
>

export function topicOptionsOf(settings: KafboySettings): (topic: string) => TopicOptions {
  const byTopic = new Map(settings.topics.map(({ topic, ...own }) => [topic, { ...settings, ...own } as TopicOptions]))
  return topic => byTopic.get(topic) ?? settings
}

interface StrategiesDeps {
  readonly gateway: Gateway
  readonly optionsOf: (topic: string) => TopicOptions
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** [0, 1) */
  readonly random: () => number
  /** Absent: there is no hook that picks. */
  readonly pick: HookCalls['pick'] | undefined
}

type Placed = (records: readonly ProduceRecord[], partitioner: PartitionerName) => void

/** The partitioner of delivery that does what a strategy says. Absent: partitions are chosen here. */
const PARTITIONERS: Partial<Record<TopicOptions['partitionStrategy'], PartitionerName>> = {
  random: 'random',
  strict_round_robin: 'roundRobin'
}

/** What is known of a topic whose partitions are chosen here. */
interface KnownTopic {
  /** Number of partitions; `undefined`: the topic was not found. */
  count: number | undefined
  /** Until when the number is believed. */
  until: number
  lookUp: Promise<void>
  /** The partition that a sticky strategy stays on, how often it was picked, and when another one could be drawn. */
  partition: number | undefined
  picks: number
  checkedAt: number
}

/** Clients choose the names of topics: beyond this number the one that was learnt first is forgotten. */
const MAX_TOPICS = 1_000
const LOOK_UP_TIMEOUT_MS = 5_000
/** Lifetime of a known number of partitions. Added partitions are noticed after this time. */
const BELIEVED_MS = 10_000
/** Time for which a topic stays unknown before it is looked up again. */
const UNKNOWN_BELIEVED_MS = 1_000
/** A sticky strategy changes the partition at most this often. */
const STICKY_CHECK_MS = 1_000

/** Decides where records go, by the strategy of their topic. Records of a topic come out in the order they went in. */
export class Strategies {
  readonly #deps: StrategiesDeps
  readonly #known = new Map<string, KnownTopic>()

  constructor(deps: StrategiesDeps) {
    this.#deps = deps
  }

  /**
   * @param records valid until the call returns
   * @param placed called before this returns, unless the partitions are chosen here
   */
  place(topic: string, records: readonly ProduceRecord[], placed: Placed): void {
    const { optionsOf, pick } = this.#deps
    const { partitionStrategy: strategy, stickyPartitionRecords } = optionsOf(topic)
    const partitioner = PARTITIONERS[strategy] ?? (strategy === 'custom' && pick === undefined ? 'phash2' : undefined)
    if (partitioner !== undefined) placed(records, partitioner)
    else {
      void this.#placeAmong(topic, records.map(copied), placed, (kept, known, count) =>
        strategy === 'custom'
          ? pick!(topic, count, kept)
          : kept.map(() => this.#stickyPartition(known, count, stickyPartitionRecords))
      )
    }
  }

  /** A topic that is not known goes where the gateway says. */
  async #placeAmong(
    topic: string,
    records: readonly ProduceRecord[],
    placed: Placed,
    pick: (records: readonly ProduceRecord[], known: KnownTopic, count: number) => readonly (number | undefined)[]
  ): Promise<void> {
    const known = this.#knownOf(topic)
    // Records of one topic wait for the same promise, in their order. An expired number is used until another one is known.
    await (known.count === undefined ? known.lookUp : undefined)
    const partitions = known.count === undefined ? [] : pick(records, known, known.count)
    placed(
      records.map((record, at) => ({ ...record, partition: partitions[at] })),
      'roundRobin'
    )
  }

  #knownOf(topic: string): KnownTopic {
    const { clock } = this.#deps
    let known = this.#known.get(topic)
    if (known === undefined) {
      if (this.#known.size >= MAX_TOPICS) this.#known.delete(this.#known.keys().next().value!)
      const lookUp = Promise.resolve()
      known = { count: undefined, until: 0, lookUp, partition: undefined, picks: 0, checkedAt: clock() }
      this.#known.set(topic, known)
    }
    if (clock() >= known.until) {
      known.until = Number.POSITIVE_INFINITY
      known.lookUp = this.#lookUp(topic, known)
    }
    return known
  }

  async #lookUp(topic: string, known: KnownTopic): Promise<void> {
    const topics = await this.#deps.gateway.topics([topic], LOOK_UP_TIMEOUT_MS).catch(() => undefined)
    const found = topics?.get(topic)
    const count = found?.errorCode === errorCodes.NONE ? found.partitions.length : undefined
    // A broker may lose sight of a topic for a while, so a known number stays until another one is known.
    known.count = count ?? known.count
    known.until = this.#deps.clock() + (count === undefined ? UNKNOWN_BELIEVED_MS : BELIEVED_MS)
  }

  /** Stays on a partition; once a second another is drawn if this one was picked more often than the limit. */
  #stickyPartition(known: KnownTopic, count: number, maxRecords: number): number {
    const nowMs = this.#deps.clock()
    const isChecked = nowMs - known.checkedAt >= STICKY_CHECK_MS
    if (isChecked) known.checkedAt = nowMs
    let { partition } = known
    if (partition === undefined || partition >= count || (isChecked && known.picks > maxRecords)) {
      // Any partition but the current one, if there is another.
      const isOther = partition !== undefined && count > 1
      partition = isOther ? (partition! + 1 + this.#draw(count - 1)) % count : this.#draw(count)
      known.picks = 0
    }
    known.partition = partition
    known.picks++
    return partition
  }

  #draw(count: number): number {
    return Math.floor(this.#deps.random() * count)
  }
}

/** The same with bytes of its own. */
export const copied = ({ topic, partition, key, value, headers }: ProduceRecord): ProduceRecord => ({
  topic,
  partition,
  key: copyOf(key),
  value: copyOf(value),
  headers
})

const copyOf = (bytes: ProduceRecord['key']): ProduceRecord['key'] =>
  bytes instanceof Buffer ? Buffer.from(bytes) : bytes
