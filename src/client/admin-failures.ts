import { unlessAborted } from '../core/ending.js'
import { errorCodeOf } from '../core/error-code-of.js'
import { CastellanError, KafkaError } from '../core/errors.js'
import type { MonotonicClock } from '../core/model.js'
import { asList, type OneOrMany } from '../core/settings/call-options.js'
import { errorCodes, kafkaErrorOf } from '../kafka/error-codes.js'
import { mapInPortions } from '../router/routing/ask-router.js'
import { AdminError, type AdminErrorCode } from '../verbs/admin-error.js'
import { TimeLimit } from '../verbs/offsets.js'

/** The time limit of a call, and the signal that ends it. */
export class CallLimit extends TimeLimit {
  readonly signal: AbortSignal | undefined

  constructor(timeoutMs: number, clock: MonotonicClock, signal: AbortSignal | undefined) {
    super(timeoutMs, clock)
    this.signal = signal
  }
}

export function callAborted(): AdminError {
  const message = 'the signal of the call was aborted; a change that it had begun may still be made'
  return new AdminError({ code: 'aborted', errorCode: undefined, message, retriable: true })
}

/** Tries all. @throws AdminError for those that failed */
export async function ofEach<Item>(
  given: OneOrMany<Item>,
  nameOf: (item: Item) => string,
  limit: CallLimit,
  work: (item: Item) => Promise<unknown>
): Promise<void> {
  const items = asList(given)
  const errors = new Map<string, AdminError>()
  await mapInPortions(items, item =>
    told(limit.signal?.aborted === true ? Promise.reject(callAborted()) : work(item), limit).catch((error: unknown) => {
      if (!(error instanceof AdminError)) throw error
      errors.set(nameOf(item), error)
    })
  )
  const [first] = errors.values()
  if (first === undefined) return
  if (!Array.isArray(given)) throw first
  const message = `${errors.size} of ${items.length} failed: ${[...errors].map(([name, one]) => `${name}: ${one.message}`).join('; ')}`
  throw new AdminError({ ...first, message, retriable: [...errors.values()].every(one => one.retriable) }, errors)
}

/** The same promise, whose errors have Kafka's names. It rejects when the signal of the call is aborted. */
export const told = <Value>(asked: Promise<Value>, limit?: CallLimit): Promise<Value> =>
  unlessAborted(asked, limit?.signal, () => Promise.reject(callAborted())).catch((error: unknown) => {
    throw error instanceof CastellanError && !(error instanceof AdminError) ? toAdminError(error) : error
  })

function toAdminError(error: CastellanError): AdminError {
  const { message, retriable, setting } = error
  const errorCode = error instanceof KafkaError ? error.errorCode : undefined
  const code = errorCode === undefined ? errorCodeOf(error) : adminCodeOf(errorCode)
  return new AdminError({ code, errorCode, message, retriable, setting, cause: error })
}

const KNOWN: ReadonlySet<number> = new Set(Object.values(errorCodes))

function adminCodeOf(errorCode: number): AdminErrorCode {
  if (!KNOWN.has(errorCode)) return 'kafka'
  const { name } = kafkaErrorOf(errorCode)
  return name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()) as AdminErrorCode
}

export function refusedCommit(outcome: 'superseded' | 'unknownTopicOrPartition', place: string): AdminError {
  const isSuperseded = outcome === 'superseded'
  const message = isSuperseded
    ? `${place}: another offset was committed at the same time, and is stored`
    : `there is no partition ${place}`
  const errorCode = isSuperseded ? undefined : errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  return new AdminError({ code: outcome, errorCode, message, retriable: isSuperseded })
}
