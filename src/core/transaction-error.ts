import { CastellanError } from './errors.js'

/**
 * `fenced`: another owner has taken the id over. `timedOut`: the time of the transaction is over. `notAssigned`: what it
 * acknowledges was offered again, acknowledged or given up since, or its partition has gone to another member. `aborted`: a
 * record failed, its signal was aborted, or a broker refuses it; `cause` has the error. `shuttingDown`: the castellan is closed.
 */
export type TransactionErrorCode = 'fenced' | 'timedOut' | 'notAssigned' | 'aborted' | 'shuttingDown'

declare module './errors.js' {
  interface CastellanErrorCodes extends Record<TransactionErrorCode, true> {}
}

/** Codes of transactions that are aborted and whose function may run again, unless the cause can never go away. */
const REPEATABLE: ReadonlySet<TransactionErrorCode> = new Set(['timedOut', 'notAssigned', 'aborted'])

/** A transaction has failed. `retriable`: it is aborted, and its function may run again. */
export class TransactionError extends CastellanError {
  override readonly name = 'TransactionError'
  declare readonly code: TransactionErrorCode
  /** `unknown`: the request to end the transaction was not answered in time. */
  readonly committed: 'no' | 'unknown'

  /** @param mayPass false: what has failed can never succeed */
  constructor(
    code: TransactionErrorCode,
    message: string,
    committed: 'no' | 'unknown' = 'no',
    cause?: unknown,
    mayPass = true
  ) {
    super(code, message, committed === 'no' && mayPass && REPEATABLE.has(code), cause)
    this.committed = committed
  }
}
