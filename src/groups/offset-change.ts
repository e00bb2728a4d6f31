import type { OffsetAndMetadata } from '../model.js'
import { AS_STORED } from '../operations/as-stored.js'
import type { TimedOut } from '../operations/request.js'
import type { Failure, GroupMembership } from '../operations.js'
import type { SetOffsetsResult } from './consume-result.js'
import type { GroupHands } from './hands.js'
import type { OffsetCommitter } from './offset-committer.js'
import type { TopicConsumer } from './topic-consumer.js'

export interface OffsetChange {
  readonly hands: GroupHands
  readonly member: GroupMembership
  readonly topic: string
  readonly consumer: TopicConsumer
  readonly committer: OffsetCommitter
  readonly offsets: ReadonlyMap<number, OffsetAndMetadata>
  readonly timeoutMs: number
}

/**
 * Makes a group that reads go on elsewhere. Only a member can: coordinators refuse commits of others while there are members.
 * The partitions are not read until the offsets are committed, and then from there, as after a start. Messages that were
 * offered before are forgotten.
 */
export function changeOffsets(change: OffsetChange, onResult: (result: SetOffsetsResult) => void): void {
  const { hands, member, topic, consumer, committer, offsets, timeoutMs } = change
  const partitions = [...offsets.keys()]
  const outcomes = new Map<number, 'committed' | 'unknownTopicOrPartition'>()
  let failure: Failure | TimedOut | undefined
  let open = partitions.length
  consumer.setAside(partitions)
  for (const [partition, offsetAndMetadata] of offsets) {
    const topicPartition = { topic, partition }
    committer.drop(topicPartition)
    // A commit of what was acknowledged may wait in the Router, with a higher offset.
    const asItIs = { ...AS_STORED, replacesWaiting: true }
    const request = { groupId: hands.groupId, topicPartition, offsetAndMetadata, ...asItIs, member, timeoutMs }
    hands.ask('commitConsumerOffset', request, result => {
      if (result.type === 'unknownTopicOrPartition') outcomes.set(partition, result.type)
      else if (result.type === 'failed' || result.type === 'timedOut') failure ??= result
      else outcomes.set(partition, 'committed')
      if (--open > 0) return
      consumer.readAnew(partitions)
      onResult(failure ?? { type: 'set', outcomes })
    })
  }
}
