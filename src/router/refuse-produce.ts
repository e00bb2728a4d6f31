import type { Failure, Produce, RecordFailure } from '../operations.js'

/** Answers a Produce of which nothing was taken: no record of it will ever be in the log. */
export function refuseProduce({ records, requester }: Produce, failure: Failure): void {
  const { code, errorCode, message, retriable } = failure
  const outcome: RecordFailure = { type: 'failed', code, errorCode, message, retriable, persisted: 'no' }
  const outcomes = Array.isArray(records) ? records.map(() => outcome) : []
  requester.reply({ operation: 'produce', type: 'completed', outcomes })
}
