import { errorOfFailure } from '../../core/error-of-failure.js'
import { CastellanError } from '../../core/errors.js'
import type { LogPosition, Offset, RecordBatch } from '../../core/model.js'
import type { Failure, TimedOut } from '../../router/messages/request.js'
import { ownFailure } from '../../router/requests/failures.js'

/**
 * Shortest time between two reads. A Router that does not wait for records answers at once, and this pause prevents a
 * busy loop.
 */
export const SHORTEST_POLL_MS = 20

/** Outcome of reading at an offset. */
export type ReadOutcome =
  | { readonly type: 'records'; readonly batch: RecordBatch }
  /** The log ends at the offset, and its leader shows all that the reader was told of. */
  | { readonly type: 'end' }
  | LogChange
  | ReadTrouble

/** Why the log has no record at the offset, and where it goes on. */
export type LogChange =
  /** `deleted`: by retention. `empty`: there are markers of transactions, or what compaction or an abort has left. */
  | { readonly type: 'skipped'; readonly next: Offset; readonly why: 'damaged' | 'deleted' | 'empty' }
  /**
   * The log has lost its end. Records from `at` on are gone, and other records take their offsets. `epochs`: of the last
   * record that was read, and of the present leader; as fields of a log line.
   */
  | {
      readonly type: 'cut'
      readonly at: Offset
      readonly epochs: { readonly leaderEpoch: number; readonly currentLeaderEpoch: number }
    }
  /** The log ends before the offset: its end was lost, or the offset was set by a client. */
  | { readonly type: 'beyond'; readonly earliest: LogPosition; readonly end: LogPosition }
  /** The name belongs to another topic now, which has this id. `earliest`: where its log begins. */
  | { readonly type: 'recreated'; readonly earliest: LogPosition; readonly topicId: string | undefined }

/** Why the log cannot be read, or a bound of it not be found, at the moment. */
export type ReadTrouble =
  /** The topic or partition does not exist. */
  | { readonly type: 'missing' }
  /** The same request fails again. */
  | { readonly type: 'refused'; readonly failure: Failure }
  /**
   * The same request may succeed later. `notShown`: brokers do not show yet what the reader knows of, such as records up to
   * the end that it was told; the message of the failure names the partition.
   */
  | { readonly type: 'retry'; readonly why: 'failed' | 'timedOut' | 'notShown'; readonly failure: Failure }

export function readTroubleOf(result: Failure | TimedOut | { readonly type: 'unknownTopicOrPartition' }): ReadTrouble {
  if (result.type === 'unknownTopicOrPartition') return { type: 'missing' }
  if (result.type === 'timedOut') {
    const failure = ownFailure('timedOut', result.reason ?? 'no answer in time', true)
    return { type: 'retry', why: 'timedOut', failure }
  }
  return result.retriable ? { type: 'retry', why: 'failed', failure: result } : { type: 'refused', failure: result }
}

export const notShown = (message: string, code: 'kafka' | 'unknownTopic' = 'kafka'): ReadTrouble => ({
  type: 'retry',
  why: 'notShown',
  failure: ownFailure(code, message, true)
})

const DAMAGED = 'are damaged and were skipped'
const DELETED = 'were deleted before they were read'

/**
 * Text of a warning for readers of the log.
 *
 * @param name for example `orders/3`
 * @param from the offset that was read
 */
export function sentenceOf(change: LogChange, name: string, from: Offset): string {
  switch (change.type) {
    case 'skipped':
      return `records ${from} to ${change.next - 1} of ${name} ${change.why === 'damaged' ? DAMAGED : DELETED}`
    case 'cut':
      return `the end of ${name} was lost from ${change.at} on, and is read from there`
    case 'beyond':
      return `the log of ${name} ends at ${change.end.offset}, before ${from}, and is read from its end`
    case 'recreated':
      return `${name} was created anew, and is read from its beginning`
  }
}

/** The error of a reader that gives up. */
export function errorOf(trouble: ReadTrouble, name: string): CastellanError {
  if (trouble.type === 'missing') return new CastellanError('unknownTopic', `${name} does not exist`, false)
  const { failure } = trouble
  const isWhole = trouble.type === 'retry' && trouble.why === 'notShown'
  return errorOfFailure(failure, isWhole ? failure.message : `${name}: ${failure.message}`)
}

/** Texts of log lines about a group. Their fields name the partition and the offsets. */
export const GROUP_LINES = {
  damaged: 'records are damaged and were skipped',
  deleted: 'records were deleted before the group has read them',
  recreated: 'the topic was created anew; the group reads it from its beginning',
  cut: 'the end of the log was lost; the group continues where the logs diverge',
  lost: 'the log ends before the position of the group, which continues at the end of the log',
  setBeyond: 'the committed offset of a group is beyond the end of the log: records below it count as acknowledged'
} as const

/** The same about an instance. */
export const INSTANCE_LINES = {
  damaged: 'a damaged batch is skipped',
  cut: 'the end of the log was lost; continuing there',
  outside: 'an instance was outside of the log'
} as const
