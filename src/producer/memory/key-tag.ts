import type { RecordOutcome } from '../../core/model.js'

/** The records of a request with a key: it may come again, and must not be written twice. */
export interface KeyTag {
  /** Hash of the client and the key, and hash of the request; texts of one byte per character. */
  readonly hash: string
  readonly fingerprint: string
  /** The place among the records of the request of a record of this call. */
  indexOf(at: number): number
  /** A record is in the durable log. */
  stored(index: number, sequence: number): void
  /** The outcome of a record in memory is certain after its request was told that it is unknown. */
  settledLate(at: number, outcome: RecordOutcome): void
}
