import type { ProduceRecord, RecordFailure } from '../../../core/model.js'
import type { PartitionerName } from '../../../gateway/gateway.js'
import type { Content } from '../content.js'
import { ANY_PARTITION, NO_PARTITION } from '../hooks/hook-calls.js'
import { ekafFailures } from './failures.js'
import type { PartitionCounts } from './partition-counts.js'
import type { StickyPicks } from './sticky-picks.js'
import type { TopicOptions } from './topic-options.js'

/** Records with a partition, or with a way to find one. */
export interface Placed {
  readonly records: readonly ProduceRecord[]
  readonly partitioner: PartitionerName
  /** One entry per record that was given, `undefined` for those in `records`. Absent: none was refused. */
  readonly refusals?: readonly (RecordFailure | undefined)[]
}

/** Asks the hook for the partitions of records; `undefined`: it has not answered. */
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
   * @returns false when too many records wait; then there is no call back
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
  return contents.map(({ key, value }, at) => ({ topic, partition: partitionOf?.(at), key, value }))
}

const copied = (contents: readonly Content[]): readonly Content[] =>
  contents.map(({ key, value }) => ({ key: copyOf(key), value: copyOf(value) }))

const copyOf = (bytes: Content['key']): Content['key'] => (bytes instanceof Buffer ? Buffer.from(bytes) : bytes)
