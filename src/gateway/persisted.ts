import type { Persisted, RecordOutcome } from '../core/model.js'

/** The header with which every answer to a produce request says whether its records are in Kafka's log. */
export const PERSISTED_HEADER = 'x-castellan-persisted'

/**
 * What is certain about a record when its request is answered. `pending`: it was accepted, and the request does not
 * wait for its outcome. A record in memory is tried until its time is over, one in the durable log until Kafka has it.
 */
export type Certainty = 'yes' | Persisted

/** A header with more letters is not accepted by every client and proxy. */
const MAX_LETTERS = 1_000

export const certaintyOf = (outcome: RecordOutcome): Certainty =>
  outcome.type === 'delivered' ? 'yes' : outcome.persisted

/**
 * The value of the header: one word when all records agree, otherwise the first letter of each record's word, in
 * order.
 *
 *   [yes, yes]              => yes
 *   [yes, no, unknown, yes] => ynuy
 *   []                      => yes       no record is missing from the log
 *
 * More than 1,000 records that differ are `unknown`.
 */
export function persistedText(certainties: readonly Certainty[]): string {
  const [first = 'yes'] = certainties
  if (certainties.every(certainty => certainty === first)) return first
  if (certainties.length > MAX_LETTERS) return 'unknown'
  return certainties.map(certainty => certainty[0]).join('')
}
