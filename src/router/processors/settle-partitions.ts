import { topicPartitionKey } from '../../core/model.js'
import type { AnyAccepted } from '../requests/accepted.js'
import { type Returned, returned } from './queue-processor.js'

/**
 * Settles a call for partitions by its answers, one for each partition: an answer for a partition that was not asked for, or
 * a second one, is ignored. Requests for partitions that the response leaves out are asked again.
 */
export function settlePartitions<
  Wanted extends { readonly waiters: readonly AnyAccepted[] },
  Answer extends { readonly topic: string; readonly partition: number }
>(
  call: ReadonlyMap<string, Wanted>,
  answers: readonly Answer[],
  settle: (key: string, wanted: Wanted, answer: Answer) => readonly Returned[]
): readonly Returned[] {
  const unanswered = new Map(call)
  const back: Returned[] = []
  for (const answer of answers) {
    const key = topicPartitionKey(answer.topic, answer.partition)
    const wanted = unanswered.get(key)
    if (!wanted) continue
    unanswered.delete(key)
    back.push(...settle(key, wanted, answer))
  }
  for (const { waiters } of unanswered.values()) back.push(...returned('retryLater', waiters))
  return back
}
