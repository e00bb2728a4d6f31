import type { Logger } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import type { ReadOutcome } from '../partition/read-outcome.js'

/** True when Kafka's ACLs forbid the request. Further attempts fail until the permission is granted. */
export const isForbidden = (result: { readonly type: string }): result is Failure =>
  result.type === 'failed' && (result as Failure).code === 'notAuthorized'

/** The same of a read. */
export const isForbiddenRead = (outcome: ReadOutcome): outcome is Extract<ReadOutcome, { type: 'refused' }> =>
  outcome.type === 'refused' && isForbidden(outcome.failure)

/** Logs the reason of a refusal once, however often the request is repeated. */
export class RefusalLog {
  readonly #log: Logger
  /** The last logged reason for each key of refusals. */
  readonly #said = new Map<string, string>()

  constructor(log: Logger) {
    this.#log = log
  }

  say(what: string, fields: object, { message }: Failure, text: string): void {
    if (this.#said.get(what) === message) return
    this.#said.set(what, message)
    this.#log.error({ ...fields, reason: message }, text)
  }

  /** Forgets a refusal, because the request is no longer refused. */
  forget(what: string): void {
    this.#said.delete(what)
  }
}

/** Longest pause between two look-ups of a partition that does not exist. */
const MAX_PAUSE_MS = 30_000

/**
 * Pauses between look-ups of a partition that brokers do not know. When another client leads the group, it may have
 * assigned a hundred thousand partitions that do not exist, so the pauses grow. A pause is never longer than the time
 * for which the partition has been unknown.
 */
export function pausesOfUnknown(firstMs: number): (type: string) => number {
  let nextMs = firstMs
  return type => {
    const isUnknown = type === 'missing'
    const pauseMs = isUnknown ? nextMs : firstMs
    nextMs = isUnknown ? Math.max(pauseMs, Math.min(2 * pauseMs, MAX_PAUSE_MS)) : pauseMs
    return pauseMs
  }
}
