import type { ProduceRecord } from '../../core/model.js'
import type { PartitionerName } from '../../gateway/gateway.js'
import type { ApiContext } from '../../http/api/api.js'
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

/**
 * Finds the partitions of records by the strategy of their topic. Records of a topic come out in the order they went in.
 *
 * @param pick absent: there is no hook that picks
 * @returns a function whose records are valid until it returns; `placed` is called before, unless partitions are chosen here
 */
export function placing(
  { gateway, clock }: ApiContext<KafboySettings>,
  optionsOf: (topic: string) => TopicOptions,
  pick: HookCalls['pick'] | undefined
): (topic: string, records: readonly ProduceRecord[], placed: Placed) => void {
  const all = new Map<string, KnownTopic>()

  async function lookUp(topic: string, known: KnownTopic): Promise<void> {
    const topics = await gateway.topics([topic], LOOK_UP_TIMEOUT_MS).catch(() => undefined)
    const found = topics?.get(topic)
    const count = found?.errorCode === errorCodes.NONE ? found.partitions.length : undefined
    // A broker may lose sight of a topic for a while, so a known number stays until another one is known.
    known.count = count ?? known.count
    known.until = clock() + (count === undefined ? UNKNOWN_BELIEVED_MS : BELIEVED_MS)
  }

  function knownOf(topic: string): KnownTopic {
    let known = all.get(topic)
    if (known === undefined) {
      if (all.size >= MAX_TOPICS) all.delete(all.keys().next().value!)
      const lookUp = Promise.resolve()
      known = { count: undefined, until: 0, lookUp, partition: undefined, picks: 0, checkedAt: clock() }
      all.set(topic, known)
    }
    if (clock() >= known.until) {
      known.until = Number.POSITIVE_INFINITY
      known.lookUp = lookUp(topic, known)
    }
    return known
  }

  /** Stays on a partition; once a second another is drawn if this one was picked more often than the limit. */
  function stickyPartition(known: KnownTopic, count: number, maxRecords: number): number {
    const nowMs = clock()
    const isChecked = nowMs - known.checkedAt >= STICKY_CHECK_MS
    if (isChecked) known.checkedAt = nowMs
    let { partition } = known
    if (partition === undefined || partition >= count || (isChecked && known.picks > maxRecords)) {
      // Any partition but the current one, if there is another.
      const isOther = partition !== undefined && count > 1
      partition = isOther ? (partition! + 1 + draw(count - 1)) % count : draw(count)
      known.picks = 0
    }
    known.partition = partition
    known.picks++
    return partition
  }

  /** A topic that is not known goes where the gateway says. */
  async function placeAmong(topic: string, records: readonly ProduceRecord[], placed: Placed): Promise<void> {
    const { partitionStrategy, stickyPartitionRecords } = optionsOf(topic)
    const known = knownOf(topic)
    // Records of one topic wait for the same promise, in their order. An expired number is used until another one is known.
    await (known.count === undefined ? known.lookUp : undefined)
    const { count } = known
    const isPicked = count !== undefined && partitionStrategy === 'custom'
    const picked = isPicked ? pick!(topic, count, records) : []
    const partitionOf = (at: number): number | undefined =>
      isPicked || count === undefined ? picked[at] : stickyPartition(known, count, stickyPartitionRecords)
    placed(
      records.map((record, at) => ({ ...record, partition: partitionOf(at) })),
      'roundRobin'
    )
  }

  return (topic, records, placed) => {
    const { partitionStrategy: strategy } = optionsOf(topic)
    const partitioner = PARTITIONERS[strategy] ?? (strategy === 'custom' && pick === undefined ? 'phash2' : undefined)
    if (partitioner !== undefined) placed(records, partitioner)
    else void placeAmong(topic, records.map(copied), placed)
  }
}

const draw = (count: number): number => Math.floor(Math.random() * count)

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
