import type { RecordFailure } from '../../core/model.js'
import type { Failure, Produce } from '../messages/operations.js'

/**
 * Answers a Produce that was refused as a whole: none of its records will ever be in the log. Where it has no list of records,
 * one failure stands for them.
 */
export function refuseProduce({ records, requester }: Produce, failure: Failure): void {
  const { code, errorCode, message, retriable } = failure
  const outcome: RecordFailure = { type: 'failed', code, errorCode, message, retriable, persisted: 'no' }
  const outcomes = Array.isArray(records) ? records.map(() => outcome) : [outcome]
  requester.reply({ operation: 'produce', type: 'completed', outcomes })
}
