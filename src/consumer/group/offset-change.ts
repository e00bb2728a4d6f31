import type { OffsetAndMetadata } from '../../core/model.js'
import {
  AS_STORED,
  type CommitConsumerOffsetResult,
  type Failure,
  type GroupMembership
} from '../../router/messages/operations.js'
import type { TimedOut } from '../../router/messages/request.js'
import type { AskedRequest } from '../partition/ask.js'
import { partitionNow } from '../partition/partition-now.js'
import type { SetOffsetsResult } from './consume-result.js'
import type { GroupRuntime } from './group-runtime.js'
import type { OffsetCommitter } from './offset-committer.js'
import type { TopicConsumer } from './topic-consumer.js'

/** Pauses between attempts to commit for a partition that the coordinator does not know although it exists. */
export const FIRST_COMMIT_PAUSE_MS = 100
export const MAX_COMMIT_PAUSE_MS = 1_000

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
 * Moves a group to other offsets while it reads. Only a member can do this, because the coordinator of a group with
 * members refuses commits of others. The member stops reading the partitions, commits the offsets, and then reads from
 * them, as after a start. Messages that were offered before are forgotten.
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
    // A commit of acknowledged messages with a higher offset may wait in the Router.
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

type Commit = AskedRequest<'commitConsumerOffset'>

/**
 * Commits an offset. A coordinator whose metadata lags may not know an existing partition, so the commit is repeated
 * until the time limit.
 */
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
        else runtime.after(pauseMs, () => attempt(Math.min(2 * pauseMs, MAX_COMMIT_PAUSE_MS)))
      })
    })
  }
  attempt(FIRST_COMMIT_PAUSE_MS)
}
