import type { Offset, TopicPartition } from '../../core/model.js'
import type { FetchEpochEndResult } from '../../router/messages/operations.js'
import type { EpochHistory } from './epoch-history.js'
import type { GroupRuntime } from './group-runtime.js'
import { partitionNow } from './partition-now.js'

const TIMEOUT_MS = 10_000

/** What has been read of a partition, or is believed to be before the position. */
export interface ReadLog {
  readonly topicPartition: TopicPartition
  /** The topic that was read; `undefined`: brokers do not tell. */
  readonly topicId: string | undefined
  readonly epochs: EpochHistory
  /** Behind the last record that was read. */
  readonly end: Offset
}

/** What brokers tell about it. */
export type LogNow =
  /** All of it is in the log of the leader of this epoch, or that one knows too little. */
  | { readonly type: 'kept'; readonly currentLeaderEpoch: number }
  /** Other records are in the log from `offset` on, or none. `leaderEpoch` is that of the last record that was read. */
  | { readonly type: 'cut'; readonly offset: Offset; readonly leaderEpoch: number; readonly currentLeaderEpoch: number }
  /** The name belongs to another topic now, or to none, so its epochs mean nothing. A read finds that out. */
  | { readonly type: 'another' }
  /** `cause`: the answer, which says nothing. */
  | { readonly type: 'unclear'; readonly cause: FetchEpochEndResult['type'] }
  /** No epoch is known, or the broker cannot tell. */
  | { readonly type: 'impossible' }

/** Asks the leader whether the end of a log was lost, by the epoch of the last record that was read (KIP-320). */
export function checkLog(runtime: Pick<GroupRuntime, 'ask'>, read: ReadLog, onChecked: (now: LogNow) => void): void {
  const { topicPartition, epochs, end } = read
  const leaderEpoch = epochs.before(end)
  if (leaderEpoch === undefined) {
    onChecked({ type: 'impossible' })
    return
  }
  runtime.ask('fetchEpochEnd', { topicPartition, leaderEpoch, timeoutMs: TIMEOUT_MS }, result => {
    switch (result.type) {
      case 'success': {
        const { currentLeaderEpoch } = result
        const offset = epochs.partsAt(result)
        if (offset >= end) onChecked({ type: 'kept', currentLeaderEpoch })
        else confirm(runtime, read, { type: 'cut', offset, leaderEpoch, currentLeaderEpoch }, onChecked)
        break
      }
      case 'notFound':
        onChecked({ type: 'kept', currentLeaderEpoch: result.currentLeaderEpoch })
        break
      case 'failed':
        onChecked(result.retriable ? { type: 'unclear', cause: result.type } : { type: 'impossible' })
        break
      default:
        onChecked({ type: 'unclear', cause: result.type })
    }
  })
}

function confirm(
  runtime: Pick<GroupRuntime, 'ask'>,
  { topicPartition, topicId }: ReadLog,
  cut: LogNow,
  onChecked: (now: LogNow) => void
): void {
  partitionNow(runtime, topicPartition, topicId, now => {
    if (now === 'same') onChecked(cut)
    else onChecked(now === 'unclear' ? { type: 'unclear', cause: 'timedOut' } : { type: 'another' })
  })
}
