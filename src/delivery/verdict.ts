import type { BatchAnswer, Persisted, RecordFailure } from '../operations.js'
import { errorCodes, kafkaErrorOf } from '../wire/error-codes.js'
import { failures } from './failures.js'

/** What is known about the batch at the head of a lane when an answer comes. */
export interface HeadFacts {
  readonly topic: string
  readonly partition: number
  readonly recordCount: number
  /** An earlier attempt ended unknown. Once unknown, only an acknowledgement makes it certain again. */
  readonly maybeWritten: boolean
  /** The time for delivering it is over. */
  readonly isExpired: boolean
  /** Look-ups have said for long enough that the topic or partition does not exist. */
  readonly isMissingTooLong: boolean
}

/** What to do about an answer. `renumber`: raise the epoch before the next batch, for the old one may still turn up. */
export type Verdict =
  /** -1: Kafka remembers the batch but not where it is. */
  | { readonly type: 'delivered'; readonly baseOffset: number; readonly logAppendTimeMs: number }
  /** The same bytes again. `soon`: there is a new leader to be found, not a trouble to be waited out. */
  | { readonly type: 'retry'; readonly soon: boolean; readonly maybeWritten: boolean; readonly reason: string }
  /** The same records under the next epoch, from sequence 0: the broker has lost what it knew of the lane. */
  | { readonly type: 'restart'; readonly reason: string }
  /** Both halves one after the other. `tooLarge`: other batches of that size would be refused as well. */
  | { readonly type: 'split'; readonly renumber: boolean; readonly tooLarge: boolean }
  | { readonly type: 'fail'; readonly failure: RecordFailure; readonly renumber: boolean }

/**
 * Retriable codes that mean "not written by this attempt". All other retriable ones leave it unknown: 7 and 20 by their
 * meaning; 6 and 56 because a leader that is deposed while it waits for its followers gives them for what it has
 * appended already; those nobody knows because nobody knows.
 */
const certainlyRefused: ReadonlySet<number> = new Set([2, 3, 5, 14, 19, 72, 74, 75, 89])
const newLeader: ReadonlySet<number> = new Set([3, 5, 6, 72, 74, 75])
/** One record, or the sum of them, is the trouble: halving the batch finds out which. */
const isolating: ReadonlySet<number> = new Set([10, 18, 32, 44, 87])
const tooLarge: ReadonlySet<number> = new Set([errorCodes.MESSAGE_TOO_LARGE, errorCodes.RECORD_LIST_TOO_LARGE])
const forgotten: ReadonlySet<number> = new Set([45, 47, 49, 59, 90])
const DUPLICATE = 46

/** Decides what an answer means for the batch at the head of its lane. Total over all codes. */
export function judge(head: HeadFacts, answer: BatchAnswer): Verdict {
  switch (answer.type) {
    case 'appended':
      return { type: 'delivered', baseOffset: answer.baseOffset, logAppendTimeMs: answer.logAppendTimeMs }
    case 'rejected':
      return judgeCode(head, answer.errorCode)
    case 'unanswered':
      return retryOrExpire(head, true, true, answer.error.message)
    case 'notSent':
      return judgeNotSent(head, answer)
  }
}

function judgeCode(head: HeadFacts, code: number): Verdict {
  if (code === DUPLICATE) return { type: 'delivered', baseOffset: -1, logAppendTimeMs: -1 }
  const { message, retriable } = kafkaErrorOf(code)
  if (forgotten.has(code)) {
    return head.isExpired ? expired(head, head.maybeWritten, message) : { type: 'restart', reason: message }
  }
  if (isolating.has(code) && head.recordCount > 1) {
    return { type: 'split', renumber: head.maybeWritten, tooLarge: tooLarge.has(code) }
  }
  if (certainlyRefused.has(code)) return retryOrExpire(head, newLeader.has(code), false, message)
  if (retriable) return retryOrExpire(head, newLeader.has(code), true, message)
  return fail(head, failures.rejected(code, persistedOf(head.maybeWritten)))
}

function judgeNotSent(head: HeadFacts, answer: BatchAnswer & { type: 'notSent' }): Verdict {
  const persisted = persistedOf(head.maybeWritten)
  if (answer.reason === 'shuttingDown') return fail(head, failures.shuttingDown(persisted))
  if (head.isMissingTooLong && answer.reason === 'unknownTopic') {
    return fail(head, failures.unknownTopic(head.topic, persisted))
  }
  if (head.isMissingTooLong && answer.reason === 'unknownPartition') {
    return fail(head, failures.unknownPartition(head.topic, head.partition, persisted))
  }
  return retryOrExpire(head, answer.reason === 'clusterChanged', false, answer.message)
}

function retryOrExpire(head: HeadFacts, soon: boolean, leavesUnknown: boolean, reason: string): Verdict {
  const maybeWritten = head.maybeWritten || leavesUnknown
  return head.isExpired ? expired(head, maybeWritten, reason) : { type: 'retry', soon, maybeWritten, reason }
}

const expired = (head: HeadFacts, maybeWritten: boolean, reason: string): Verdict =>
  fail({ ...head, maybeWritten }, failures.timedOut(reason, persistedOf(maybeWritten)))

const fail = (head: HeadFacts, failure: RecordFailure): Verdict => ({
  type: 'fail',
  failure,
  renumber: head.maybeWritten
})

/** A failure's certainty is that of the whole history of the batch. */
export const persistedOf = (maybeWritten: boolean): Persisted => (maybeWritten ? 'unknown' : 'no')
