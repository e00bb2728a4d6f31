import { CastellanError, type ErrorCode } from './errors.js'
import type { Persisted, RecordFailure, RecordOutcome } from './model.js'

/** Some of the records of a call of `produceOrThrow` are not known to be in Kafka. */
export class ProduceError extends CastellanError {
  override readonly name = 'ProduceError'
  declare readonly code: ErrorCode
  /** One for each record of the call, in order. */
  readonly outcomes: readonly RecordOutcome[]
  /** Whether any of the failed records may be in Kafka; `no`: none of them is. */
  readonly persisted: Persisted

  /** @param failed the failures among the outcomes; at least one */
  constructor(outcomes: readonly RecordOutcome[], failed: readonly RecordFailure[]) {
    const { code, message, setting } = failed[0]!
    const many = outcomes.length === 1 ? '' : `${failed.length} of ${outcomes.length} records failed, the first one: `
    const retriable = failed.every(failure => failure.retriable)
    super(code, `${many}${message}`, retriable, undefined, setting)
    this.outcomes = outcomes
    const uncertain = (['unknown', 'pending'] as const).find(one => failed.some(({ persisted }) => persisted === one))
    this.persisted = uncertain ?? 'no'
  }
}
