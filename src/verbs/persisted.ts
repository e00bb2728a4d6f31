import type { Persisted, RecordOutcome } from '../core/model.js'

/** The header of every answer to a produce request. It says whether the records are in Kafka's log. */
export const PERSISTED_HEADER = 'x-castellan-persisted'

/**
 * Certainty about a record when its request is answered. `pending`: the record was accepted, and the request does not wait for
 * its outcome. Castellan tries to write a record in memory until its deadline, and a record in the durable log until Kafka has
 * it.
 */
export type Certainty = 'yes' | Persisted

/** Maximum length of the header's value. Some clients and proxies refuse longer headers. */
const MAX_LETTERS = 1_000

export const certaintyOf = (outcome: RecordOutcome): Certainty =>
  outcome.type === 'delivered' ? 'yes' : outcome.persisted

/** The text of a failure, for answers that have neither a header nor a field for what is certain of each record. */
export const withPersisted = (message: string, persisted: Persisted): string => `${message} (in Kafka: ${persisted})`

/** Reads what {@link withPersisted} has written; `unknown`: it has written nothing. */
export const persistedIn = (text: string): Persisted =>
  (['no', 'pending'] as const).find(persisted => text.endsWith(withPersisted('', persisted))) ?? 'unknown'

/**
 * The value of the header. It is one word when all records have the same outcome. Otherwise it is the first letter of
 * each record's outcome, in order.
 *
 *   [yes, yes]              => yes
 *   [yes, no, unknown, yes] => ynuy
 *   []                      => yes       no record is missing from the log
 * For more than 1,000 records with different outcomes, the value is `unknown`.
 */
export function persistedText(certainties: readonly Certainty[]): string {
  const [first = 'yes'] = certainties
  if (certainties.every(certainty => certainty === first)) return first
  if (certainties.length > MAX_LETTERS) return 'unknown'
  return certainties.map(certainty => certainty[0]).join('')
}
