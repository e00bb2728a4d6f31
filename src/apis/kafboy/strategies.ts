import type { ProduceRecord } from '../../core/model.js'
import type { Gateway, PartitionerName } from '../../gateway/gateway.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Content } from './content.js'
import type { HookCalls } from './hooks/hook-calls.js'
import type { KafboySettings } from './settings.js'

/** The settings of one topic. */
export type TopicOptions = Pick<
  KafboySettings,
  'maxBufferRecords' | 'bufferTtlMs' | 'partitionStrategy' | 'stickyPartitionRecords'
>

/** The settings of a topic: its own ones, else those of all topics. */
export function topicOptionsOf(settings: KafboySettings): (topic: string) => TopicOptions {
  const byTopic = new Map(settings.topics.map(({ topic, ...own }) => [topic, { ...settings, ...own } as TopicOptions]))
  return topic => byTopic.get(topic) ?? settings
}

interface StrategiesDeps {
  readonly gateway: Pick<Gateway, 'topics'>
  readonly optionsOf: (topic: string) => TopicOptions
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** [0, 1) */
  readonly random: () => number
  /** Absent: there is no hook that picks. */
  readonly pick: HookCalls['pick'] | undefined
}

type Placed = (records: readonly ProduceRecord[], partitioner: PartitionerName) => void

/** Decides where records go, by the strategy of their topic. Records of a topic come out in the order they went in. */
export class Strategies {
  readonly #deps: StrategiesDeps
  readonly #counts: PartitionCounts
  readonly #sticky = new Map<string, Sticky>()

  constructor(deps: StrategiesDeps) {
    this.#deps = deps
    this.#counts = new PartitionCounts(deps.gateway, deps.clock)
  }

  /**
   * @param contents valid until the call returns
   * @param placed called before this returns, unless the partitions are chosen here
   */
  place(topic: string, contents: readonly Content[], placed: Placed): void {
    const { optionsOf, pick } = this.#deps
    const { partitionStrategy: strategy, stickyPartitionRecords } = optionsOf(topic)
    if (strategy === 'random') placed(withTopic(topic, contents), 'random')
    else if (strategy === 'strict_round_robin') placed(withTopic(topic, contents), 'roundRobin')
    else if (strategy !== 'custom') {
      void this.#placeAmong(topic, contents, placed, (kept, count) =>
        kept.map(() => this.#stickyPartition(topic, count, stickyPartitionRecords))
      )
    } else if (pick === undefined) placed(withTopic(topic, contents), 'phash2')
    else void this.#placeAmong(topic, contents, placed, (kept, count) => pick(topic, count, kept))
  }

  /** A topic that is not known goes where the gateway says. */
  async #placeAmong(
    topic: string,
    contents: readonly Content[],
    placed: Placed,
    partitionsOf: (contents: readonly Content[], count: number) => readonly (number | undefined)[]
  ): Promise<void> {
    const kept = contents.map(copied)
    const count = await this.#counts.of(topic)
    placed(withTopic(topic, kept, count === undefined ? [] : partitionsOf(kept, count)), 'roundRobin')
  }

  /** Stays on a partition; once a second another is drawn if this one was picked more often than the limit. */
  #stickyPartition(topic: string, count: number, maxRecords: number): number {
    const nowMs = this.#deps.clock()
    const sticky = this.#sticky.get(topic) ?? { partition: this.#draw(count), picks: 0, checkedAt: nowMs }
    if (sticky.picks === 0) addTo(this.#sticky, topic, sticky)
    const isChecked = nowMs - sticky.checkedAt >= STICKY_CHECK_MS
    if (isChecked) sticky.checkedAt = nowMs
    if (sticky.partition >= count || (isChecked && sticky.picks > maxRecords)) {
      // Any partition but the current one, if there is another.
      sticky.partition = count === 1 ? 0 : (sticky.partition + 1 + this.#draw(count - 1)) % count
      sticky.picks = 0
    }
    sticky.picks++
    return sticky.partition
  }

  #draw(count: number): number {
    return Math.floor(this.#deps.random() * count)
  }
}

interface Sticky {
  partition: number
  picks: number
  checkedAt: number
}

/** The partition is changed at most this often. */
const STICKY_CHECK_MS = 1_000

const withTopic = (
  topic: string,
  contents: readonly Content[],
  partitions: readonly (number | undefined)[] = []
): readonly ProduceRecord[] => contents.map((content, at) => ({ topic, partition: partitions[at], ...content }))

/** The same with bytes of its own. */
export const copied = ({ key, value, headers }: Content): Content => ({
  key: copyOf(key),
  value: copyOf(value),
  ...(headers && { headers })
})

const copyOf = (bytes: Content['key']): Content['key'] => (bytes instanceof Buffer ? Buffer.from(bytes) : bytes)

/** Clients choose the names of topics: beyond this number the one that was learnt first is forgotten. */
const MAX_TOPICS = 1_000

function addTo<Value>(byTopic: Map<string, Value>, topic: string, value: Value): void {
  if (!byTopic.has(topic) && byTopic.size >= MAX_TOPICS) byTopic.delete(byTopic.keys().next().value!)
  byTopic.set(topic, value)
}

const LOOK_UP_TIMEOUT_MS = 5_000
/** Lifetime of a known count. Added partitions are noticed after this time. */
const BELIEVED_MS = 10_000
/** Time for which a topic stays unknown before it is looked up again. */
const UNKNOWN_BELIEVED_MS = 1_000

interface Known {
  /** `undefined`: the topic was not found. */
  count: number | undefined
  until: number
  lookUp: Promise<void>
}

/** Partition counts of topics. */
class PartitionCounts {
  readonly #gateway: StrategiesDeps['gateway']
  readonly #clock: () => number
  readonly #known = new Map<string, Known>()

  constructor(gateway: StrategiesDeps['gateway'], clock: () => number) {
    this.#gateway = gateway
    this.#clock = clock
  }

  /** Calls for one topic are answered in their order. An expired count is used until another one is known. */
  async of(topic: string): Promise<number | undefined> {
    const known = this.#known.get(topic) ?? { count: undefined, until: 0, lookUp: Promise.resolve() }
    if (this.#clock() >= known.until) {
      known.until = Number.POSITIVE_INFINITY
      known.lookUp = this.#lookUp(topic, known)
      addTo(this.#known, topic, known)
    }
    if (known.count === undefined) await known.lookUp
    return known.count
  }

  async #lookUp(topic: string, known: Known): Promise<void> {
    const topics = await this.#gateway.topics([topic], LOOK_UP_TIMEOUT_MS).catch(() => undefined)
    const found = topics?.get(topic)
    const count = found?.errorCode === errorCodes.NONE ? found.partitions.length : undefined
    // A broker may lose sight of a topic for a while, so a known count stays until another one is known.
    known.count = count ?? known.count
    known.until = this.#clock() + (count === undefined ? UNKNOWN_BELIEVED_MS : BELIEVED_MS)
  }
}
