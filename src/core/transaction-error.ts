import { CastellanError, type ErrorCode } from './errors.js'

/**
 * `fenced`: another owner has taken the id over. `timedOut`: the time of the transaction is over. `notAssigned`: what it
 * acknowledges was offered again, acknowledged or given up since, or its partition has gone to another member.
 */
export type TransactionErrorCode = 'fenced' | 'notAssigned' | 'aborted' | ErrorCode | (string & {})

/** With these a transaction is aborted, and its function may run again. */
const REPEATABLE: ReadonlySet<string> = new Set(['timedOut', 'notAssigned', 'aborted', 'clusterChanged'])

/** A transaction has failed. `retriable`: it is aborted, and its function may run again. */
export class TransactionError extends CastellanError<TransactionErrorCode> {
  override readonly name = 'TransactionError'
  /** `unknown`: its end was not answered in time. */
  readonly committed: 'no' | 'unknown'

  constructor(code: TransactionErrorCode, message: string, committed: 'no' | 'unknown' = 'no', cause?: unknown) {
    super(code, message, committed === 'no' && REPEATABLE.has(code), cause)
    this.committed = committed
  }
}
