import type { ErrorCode } from './errors.js'

/**
 * `fenced`: another owner has taken the id over. `timedOut`: the time of the transaction is over. `notAssigned`: what it
 * acknowledges was offered again, acknowledged or given up since, or its partition has gone to another member.
 */
export type TransactionErrorCode = 'fenced' | 'notAssigned' | 'aborted' | ErrorCode | (string & {})

/** A transaction has failed. */
export class TransactionError extends Error {
  override readonly name = 'TransactionError'
  readonly code: TransactionErrorCode
  /** `unknown`: its end was not answered in time. */
  readonly committed: 'no' | 'unknown'

  constructor(code: TransactionErrorCode, message: string, committed: 'no' | 'unknown' = 'no', cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.committed = committed
  }
}
