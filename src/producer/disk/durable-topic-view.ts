import type { RecordFailure } from '../../core/model.js'
import type { SequenceRange } from '../log/segment.js'
import { failures, IN_TURNS } from '../memory/failures.js'
import type { PartitionProducer } from '../memory/partition-producer.js'
import { type TopicView, type TroubledPartition, troubledOf, viewOf } from '../memory/topic-view.js'
import type { WhyOpen } from './durable-receipts.js'
import { ANY_PARTITION, type PartitionCursors } from './partition-cursors.js'

/** A topic of the durable log, as far as people are told about it. */
export interface ViewedTopic {
  readonly name: string
  readonly isIdle: boolean
  /** 0: not known. */
  readonly partitionCount: number
  readonly producers: readonly (PartitionProducer | undefined)[]
  readonly cursors: PartitionCursors
  /** No broker was asked to create it yet. */
  readonly waitsForTurn: boolean
  /** Why brokers do not take its records; `undefined`: they do, as far as is known. */
  readonly refusal: RecordFailure | undefined
}

/** Limit of the partitions that a topic does not have and that are listed one by one. */
const MAX_ABSENT_NAMED = 5

/** Some of the partitions whose records do not flow. */
export function troubledIn(topic: ViewedTopic): readonly TroubledPartition[] {
  const absent = absentIn(topic).slice(0, MAX_ABSENT_NAMED)
  const waiting = absent.map((partition): TroubledPartition => {
    const obstacle = { error: 'unknownPartition', message: whyAbsent(topic, partition) }
    return { partition, state: 'suspended', attempts: 1, obstacle }
  })
  return [...troubledOf(topic.producers), ...waiting]
}

/** The records of a topic that are in memory, and the reason why they are not sent, for the status page. */
export function durableViewOf(topic: ViewedTopic, nowMs: number): TopicView {
  const producers = viewOf(topic.producers, nowMs)
  const { records, bytes, oldestAt, partitions } = producers
  const troubledCount = producers.troubledCount + absentIn(topic).length
  const refusal = topic.refusal ?? producers.refusal
  return {
    topic: topic.name,
    state: stateOf(topic, refusal, troubledCount),
    records,
    bytes,
    oldestAgeMs: Number.isFinite(oldestAt) ? Math.max(0, nowMs - oldestAt) : 0,
    partitions,
    troubledCount,
    refusal
  }
}

function stateOf(topic: ViewedTopic, refusal: TopicView['refusal'], troubled: number): TopicView['state'] {
  if (refusal?.code === 'notAuthorized') return 'refused'
  if (refusal?.code === 'unknownTopic') return 'missing'
  if (troubled > 0) return 'stuck'
  if (topic.partitionCount === 0) return 'lookingUp'
  return topic.isIdle ? 'idle' : 'flowing'
}

/**
 * Why Kafka does not have the entries yet.
 *
 * @param topic `undefined`: it waits until others were looked up
 * @param awayBecause why no broker is reached; `undefined`: they are
 */
export function whyOpen(
  topic: ViewedTopic | undefined,
  { first, count }: SequenceRange,
  awayBecause: string | undefined
): WhyOpen {
  if (topic === undefined) return () => awayBecause ?? 'looking up the topic, after others'
  if (topic.partitionCount === 0) {
    const whyNow = topic.waitsForTurn ? `the topic waits for its creation: ${IN_TURNS}` : 'looking up the topic'
    const why = topic.refusal?.message ?? awayBecause ?? whyNow
    return () => why
  }
  const sent = new Map<number, string>()
  for (const producer of topic.producers)
    for (const sequence of producer?.sentIndexes ?? [])
      if (sequence >= first && sequence < first + count) sent.set(sequence, producer!.whyWaiting)
  const why = whyStuck(topic)
  const behind = `it waits behind earlier records of the topic${why === undefined ? '' : ` (${why})`}`
  return sequence => {
    const partition = topic.cursors.stalledAt(sequence) ?? ANY_PARTITION
    if (partition >= topic.partitionCount) return `${whyAbsent(topic, partition)}; it waits until there is one`
    return sent.get(sequence) ?? behind
  }
}

function whyStuck(topic: ViewedTopic): string | undefined {
  const stuck = topic.producers.find(producer => producer?.state === 'backingOff' || producer?.state === 'suspended')
  if (stuck) return stuck.whyWaiting
  const [absent] = absentIn(topic)
  return absent === undefined ? undefined : whyAbsent(topic, absent)
}

/** Partitions that records name and the topic does not have. The records wait until it has them. */
const absentIn = ({ cursors, partitionCount }: ViewedTopic): number[] =>
  [...cursors.behind.keys()].filter(cursor => cursor >= partitionCount)

const whyAbsent = ({ name }: ViewedTopic, partition: number): string =>
  failures.unknownPartition(name, partition, 'pending').message
