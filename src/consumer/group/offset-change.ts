import type { OffsetAndMetadata } from '../../core/model.js'
import { AS_STORED } from '../../router/messages/as-stored.js'
import type { CommitConsumerOffsetResult, Failure, GroupMembership } from '../../router/messages/operations.js'
import type { TimedOut } from '../../router/messages/request.js'
import type { SetOffsetsResult } from './consume-result.js'
import type { GroupRequest, GroupRuntime } from './group-runtime.js'
import type { OffsetCommitter } from './offset-committer.js'
import { partitionNow } from './partition-now.js'
import type { TopicConsumer } from './topic-consumer.js'

/** Pauses between attempts to commit for a partition that the coordinator does not know although it exists. */
const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 1_000

export interface OffsetChange {
  readonly runtime: GroupRuntime
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
  const { runtime, member, topic, consumer, committer, offsets, timeoutMs } = change
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
    const request = { groupId: runtime.groupId, topicPartition, offsetAndMetadata, ...asItIs, member, timeoutMs }
    commitWhere(runtime, request, result => {
      if (result.type === 'unknownTopicOrPartition') outcomes.set(partition, result.type)
      else if (result.type === 'failed' || result.type === 'timedOut') failure ??= result
      else outcomes.set(partition, 'committed')
      if (--open > 0) return
      consumer.readAnew(partitions)
      onResult(failure ?? { type: 'set', outcomes })
    })
  }
}

type Commit = GroupRequest<'commitConsumerOffset'>

/** Commits. A coordinator whose metadata lags does not know a partition that exists: it is asked again while there is time. */
function commitWhere(
  runtime: GroupRuntime,
  request: Commit & { readonly timeoutMs: number },
  onResult: (result: CommitConsumerOffsetResult) => void
): void {
  const endsAt = runtime.clock() + request.timeoutMs
  const attempt = (pauseMs: number): void => {
    const timeoutMs = Math.max(1, endsAt - runtime.clock())
    runtime.ask('commitConsumerOffset', { ...request, timeoutMs }, result => {
      if (result.type !== 'unknownTopicOrPartition' || endsAt - runtime.clock() <= pauseMs) {
        onResult(result)
        return
      }
      partitionNow(runtime, request.topicPartition, undefined, now => {
        if (now === 'gone') onResult(result)
        else runtime.after(pauseMs, () => attempt(Math.min(2 * pauseMs, MAX_PAUSE_MS)))
      })
    })
  }
  attempt(FIRST_PAUSE_MS)
}
