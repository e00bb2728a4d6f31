import type { Persisted, RecordFailure } from '../../core/model.js'
import { codesOf, errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { BatchAnswer } from '../../router/messages/operations.js'
import { failures } from './failures.js'

/** The state of a partition's batch when an answer comes. */
export interface HeadFacts {
  readonly topic: string
  readonly partition: number
  readonly recordCount: number
  /** The outcome of an earlier attempt is unknown. Only an acknowledgement makes it certain again. */
  readonly maybeWritten: boolean
  /** Whether requests of some of its records were answered: these records are sent until their time is over. */
  readonly isPromised: boolean
  /** The batch has been tried for the whole delivery timeout. */
  readonly isExpired: boolean
  /** The records are in the durable log: they do not expire, and a refused record must not fail others. */
  readonly isDurable: boolean
  /** The timestamps were set by Castellan and may be changed. Absent: they stay. */
  readonly canRestamp?: boolean | undefined
  /** Why the leader could not be reached; absent if a broker has answered since. */
  readonly lastError?: string | undefined
}

/** Meaning of an answer to a batch. `renumber`: raise the epoch before the next batch, as a late copy of this one may arrive. */
export type Verdict =
  /** `baseOffset` -1: Kafka has the batch, but does not know its offset any more. */
  | { readonly type: 'delivered'; readonly baseOffset: number; readonly logAppendTimeMs: number }
  /** Send the same bytes again. `soon`: only a new leader has to be found, so a short pause is enough. */
  | {
      readonly type: 'retry'
      readonly soon: boolean
      readonly maybeWritten: boolean
      readonly reason: string
      /** Kafka refuses records of the topic until an operator changes that. */
      readonly refusal?: RecordFailure
    }
  /** Send the same records under the next epoch, from sequence 0, because the broker has lost the producer's state. */
  | { readonly type: 'restart'; readonly reason: string }
  /** Send the same records under the same number with other timestamps. */
  | { readonly type: 'restamp'; readonly reason: string }
  /** Send two halves one after the other. `lowersLimit`: the next batches have to be smaller than this one. */
  | { readonly type: 'split'; readonly renumber: boolean; readonly lowersLimit: boolean }
  | { readonly type: 'fail'; readonly failure: RecordFailure; readonly renumber: boolean }
  /** Records of the durable log wait until they can be sent somewhere. */
  | { readonly type: 'suspend'; readonly failure: RecordFailure }

/**
 * Retriable codes that mean "not written by this attempt". Every other retriable code leaves the outcome unknown:
 *
 *   REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND   the leader may have appended the batch
 *   NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR           a leader that is deposed while it waits for its followers
 *                                                         answers this for a batch that it has appended
 *   a code that this version does not know                its meaning is unknown
 */
const certainlyRefused: ReadonlySet<number> = codesOf(
  'CORRUPT_MESSAGE',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'COORDINATOR_LOAD_IN_PROGRESS',
  'NOT_ENOUGH_REPLICAS',
  'LISTENER_NOT_FOUND',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'THROTTLING_QUOTA_EXCEEDED'
)
const newLeader: ReadonlySet<number> = codesOf(
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'LISTENER_NOT_FOUND',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH'
)
/** One record is refused, or the whole batch is too large. The batch is halved until the refused record is alone. */
const isolating: ReadonlySet<number> = codesOf(
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_TIMESTAMP',
  'POLICY_VIOLATION',
  'INVALID_RECORD'
)
const sizeCodes: ReadonlySet<number> = codesOf('MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE')
const forgotten: ReadonlySet<number> = codesOf(
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'UNKNOWN_PRODUCER_ID',
  'PRODUCER_FENCED'
)

/** Decides what an answer means for a partition's batch. Every error code has a verdict. */
export function judge(head: HeadFacts, answer: BatchAnswer): Verdict {
  switch (answer.type) {
    case 'appended':
      return { type: 'delivered', baseOffset: answer.baseOffset, logAppendTimeMs: answer.logAppendTimeMs }
    case 'rejected':
      return judgeCode(head, answer.errorCode, answer.words)
    case 'unanswered':
      return retryOrExpire(head, true, true, answer.error.message)
    case 'notSent':
      return judgeNotSent(head, answer)
  }
}

function judgeCode(head: HeadFacts, code: number, words: string | undefined): Verdict {
  if (code === errorCodes.DUPLICATE_SEQUENCE_NUMBER) return { type: 'delivered', baseOffset: -1, logAppendTimeMs: -1 }
  const { message, retriable } = kafkaErrorOf(code, words)
  if (forgotten.has(code)) {
    return head.isExpired ? expired(head, head.maybeWritten, message) : { type: 'restart', reason: message }
  }
  if (code === errorCodes.INVALID_TIMESTAMP && head.canRestamp === true && !head.isExpired) {
    return { type: 'restamp', reason: message }
  }
  if (isolating.has(code) && head.recordCount > 1) {
    return { type: 'split', renumber: head.maybeWritten, lowersLimit: sizeCodes.has(code) }
  }
  if (certainlyRefused.has(code)) return retryOrExpire(head, newLeader.has(code), false, message)
  if (retriable) return retryOrExpire(head, newLeader.has(code), true, message)
  return refusedForGood(head, failures.rejected(code, persistedOf(head.maybeWritten), words))
}

/** Records of the durable log wait until an operator grants a missing right. */
function refusedForGood(head: HeadFacts, failure: RecordFailure): Verdict {
  if (!head.isDurable) return fail(head, failure)
  const { maybeWritten, recordCount } = head
  if (failure.code === 'notAuthorized') {
    return { type: 'retry', soon: false, maybeWritten, reason: failure.message, refusal: failure }
  }
  return recordCount > 1 ? { type: 'split', renumber: maybeWritten, lowersLimit: false } : fail(head, failure)
}

function judgeNotSent(head: HeadFacts, answer: BatchAnswer & { type: 'notSent' }): Verdict {
  const persisted = persistedOf(head.maybeWritten)
  const end = (failure: RecordFailure): Verdict => (head.isDurable ? { type: 'suspend', failure } : fail(head, failure))
  if (answer.reason === 'shuttingDown') return end(failures.shuttingDown(persisted))
  // The Router reports this only when brokers have confirmed it.
  const isUncreated = answer.reason === 'uncreatedTopic' && !head.isPromised
  if (answer.reason === 'unknownTopic' || isUncreated) return end(failures.unknownTopic(head.topic, persisted))
  if (answer.reason === 'unknownPartition') {
    return end(failures.unknownPartition(head.topic, head.partition, persisted))
  }
  return retryOrExpire(head, answer.reason === 'clusterChanged', false, answer.message)
}

function retryOrExpire(head: HeadFacts, soon: boolean, leavesUnknown: boolean, reason: string): Verdict {
  const maybeWritten = head.maybeWritten || leavesUnknown
  return head.isExpired ? expired(head, maybeWritten, reason) : { type: 'retry', soon, maybeWritten, reason }
}

const expired = (head: HeadFacts, maybeWritten: boolean, reason: string): Verdict =>
  fail({ ...head, maybeWritten }, failures.timedOut(reason, persistedOf(maybeWritten), head.lastError))

const fail = (head: HeadFacts, failure: RecordFailure): Verdict => ({
  type: 'fail',
  failure,
  renumber: head.maybeWritten
})

/** Certainty depends on all attempts of the batch, not only on the last one. */
export const persistedOf = (maybeWritten: boolean): Persisted => (maybeWritten ? 'unknown' : 'no')
