import type { ProduceRecord, RecordFailure } from '../../../core/model.js'
import type { PartitionerName } from '../../../gateway/gateway.js'
import type { Content } from '../content.js'
import { ANY_PARTITION, NO_PARTITION } from '../hooks/hook-messages.js'
import type { KafboySettings, PartitionStrategy } from '../settings.js'
import type { PartitionCounts } from './partition-counts.js'
import { ekafFailures } from './pending-produces.js'

/** The settings of one topic. */
interface TopicOptions {
  readonly maxBufferRecords: number
  readonly bufferTtlMs: number
  readonly partitionStrategy: PartitionStrategy
  readonly stickyPartitionRecords: number
  readonly maxDowntimeRecords?: number | undefined
}

/** Finds the settings of a topic: its own ones, else those of all topics. */
export class TopicOptionsTable {
  readonly #common: TopicOptions
  readonly #byTopic = new Map<string, TopicOptions>()

  constructor(settings: KafboySettings) {
    this.#common = settings
    for (const { topic, ...own } of settings.topics) this.#byTopic.set(topic, merged(settings, own))
  }

  of(topic: string): TopicOptions {
    return this.#byTopic.get(topic) ?? this.#common
  }
}

const merged = (common: TopicOptions, own: { [Name in keyof TopicOptions]?: TopicOptions[Name] | undefined }) => ({
  maxBufferRecords: own.maxBufferRecords ?? common.maxBufferRecords,
  bufferTtlMs: own.bufferTtlMs ?? common.bufferTtlMs,
  partitionStrategy: own.partitionStrategy ?? common.partitionStrategy,
  stickyPartitionRecords: own.stickyPartitionRecords ?? common.stickyPartitionRecords,
  maxDowntimeRecords: own.maxDowntimeRecords ?? common.maxDowntimeRecords
})

/** Records with a partition, or with a strategy that finds one. */
export interface Placed {
  readonly records: readonly ProduceRecord[]
  readonly partitioner: PartitionerName
  /** One entry per record that was given, `undefined` for those in `records`. Absent: no record was refused. */
  readonly refusals?: readonly (RecordFailure | undefined)[]
}

/** Asks the hook for the partitions of records; `undefined`: the hook has not answered. */
export type Picker = (
  topic: string,
  partitionCount: number,
  records: readonly Content[],
  done: (partitions: readonly number[] | undefined) => void
) => void

export interface PlacementDeps {
  readonly counts: Pick<PartitionCounts, 'isKnown' | 'whenKnown'>
  readonly sticky: StickyPicks
  /** Absent: there is no such hook. */
  readonly picker: Picker | undefined
}

/** Decides where records go, by the strategy of their topic. Records of a topic come out in the order they went in. */
export class Placement {
  readonly #deps: PlacementDeps

  constructor(deps: PlacementDeps) {
    this.#deps = deps
  }

  /**
   * @param contents valid until the call returns; copied when the answer takes longer
   * @returns false when too many records wait; then `done` is not called
   */
  place(topic: string, contents: readonly Content[], options: TopicOptions, done: (placed: Placed) => void): boolean {
    switch (options.partitionStrategy) {
      case 'random':
        done({ records: withTopic(topic, contents), partitioner: 'random' })
        return true
      case 'strict_round_robin':
        done({ records: withTopic(topic, contents), partitioner: 'roundRobin' })
        return true
      case 'sticky_round_robin':
      case 'ordered_round_robin':
        return this.#placeSticky(topic, contents, options, done)
      case 'custom':
        return this.#placeCustom(topic, contents, done)
    }
  }

  #placeSticky(
    topic: string,
    contents: readonly Content[],
    { stickyPartitionRecords }: TopicOptions,
    done: (placed: Placed) => void
  ): boolean {
    const { counts, sticky } = this.#deps
    const kept = counts.isKnown(topic) ? contents : copied(contents)
    return counts.whenKnown(topic, count => {
      const records = withTopic(topic, kept, () =>
        count === undefined ? undefined : sticky.pick(topic, count, stickyPartitionRecords)
      )
      done({ records, partitioner: 'random' })
    })
  }

  #placeCustom(topic: string, contents: readonly Content[], done: (placed: Placed) => void): boolean {
    const { counts, picker } = this.#deps
    if (picker === undefined) {
      done({ records: withTopic(topic, contents), partitioner: 'phash2' })
      return true
    }
    const kept = copied(contents)
    return counts.whenKnown(topic, count => {
      if (count === undefined) done({ records: withTopic(topic, kept), partitioner: 'roundRobin' })
      else picker(topic, count, kept, partitions => done(placedBy(partitions, topic, kept)))
    })
  }
}

function placedBy(partitions: readonly number[] | undefined, topic: string, contents: readonly Content[]): Placed {
  if (partitions === undefined) return { records: withTopic(topic, contents), partitioner: 'roundRobin' }
  const records = withTopic(topic, contents, at => (partitions[at] === ANY_PARTITION ? undefined : partitions[at]))
  if (!partitions.includes(NO_PARTITION)) return { records, partitioner: 'roundRobin' }
  return {
    records: records.filter((_, at) => partitions[at] !== NO_PARTITION),
    partitioner: 'roundRobin',
    refusals: partitions.map(partition => (partition === NO_PARTITION ? ekafFailures.notPicked(topic) : undefined))
  }
}

function withTopic(
  topic: string,
  contents: readonly Content[],
  partitionOf?: (at: number) => number | undefined
): readonly ProduceRecord[] {
  return contents.map(({ key, value, headers }, at) => {
    const partition = partitionOf?.(at)
    return headers === undefined ? { topic, partition, key, value } : { topic, partition, key, value, headers }
  })
}

const copied = (contents: readonly Content[]): readonly Content[] =>
  contents.map(({ key, value, headers }) => ({ key: copyOf(key), value: copyOf(value), ...(headers && { headers }) }))

const copyOf = (bytes: Content['key']): Content['key'] => (bytes instanceof Buffer ? Buffer.from(bytes) : bytes)

/** Topics whose partition is remembered. Beyond this number, the topic that was chosen first is forgotten. */
const MAX_TOPICS = 1_000
/** The partition is changed at most this often. */
const CHANGE_INTERVAL_MS = 1_000

interface Sticky {
  partition: number
  picks: number
  checkedAt: number
}

/**
 * ekaf's `sticky_round_robin`: records stay on a partition; once a second, another is drawn if this one was picked more
 * often than the limit.
 */
export class StickyPicks {
  readonly #clock: () => number
  readonly #random: () => number
  readonly #byTopic = new Map<string, Sticky>()

  /** @param clock monotonic milliseconds */
  constructor(clock: () => number, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  pick(topic: string, partitionCount: number, maxRecords: number): number {
    const sticky = this.#byTopic.get(topic) ?? this.#add(topic, partitionCount)
    const nowMs = this.#clock()
    if (nowMs - sticky.checkedAt >= CHANGE_INTERVAL_MS) {
      sticky.checkedAt = nowMs
      if (sticky.picks > maxRecords) this.#move(sticky, partitionCount)
    }
    if (sticky.partition >= partitionCount) this.#move(sticky, partitionCount)
    sticky.picks++
    return sticky.partition
  }

  #add(topic: string, partitionCount: number): Sticky {
    if (this.#byTopic.size >= MAX_TOPICS) this.#byTopic.delete(this.#byTopic.keys().next().value!)
    const sticky = { partition: this.#draw(partitionCount), picks: 0, checkedAt: this.#clock() }
    this.#byTopic.set(topic, sticky)
    return sticky
  }

  /** Picks another partition than the current one, if there is another. */
  #move(sticky: Sticky, partitionCount: number): void {
    const others = partitionCount - (sticky.partition < partitionCount ? 1 : 0)
    const drawn = others === 0 ? 0 : this.#draw(others)
    sticky.partition = sticky.partition < partitionCount && others > 0 && drawn >= sticky.partition ? drawn + 1 : drawn
    sticky.picks = 0
  }

  #draw(count: number): number {
    return Math.floor(this.#random() * count)
  }
}
