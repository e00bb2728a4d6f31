import type { Logger } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import { kafkaFailure } from '../../router/requests/failures.js'
import { isTopic } from '../../router/requests/problems.js'
import type { GroupRuntime } from './group-runtime.js'

const LOOK_UP_TIMEOUT_MS = 10_000

/** Whether Kafka's ACLs do not allow it: a further attempt fails as well, until a right is granted. */
export const isForbidden = (result: { readonly type: string }): result is Failure =>
  result.type === 'failed' && (result as Failure).code === 'notAuthorized'

/** Tells which of these topics brokers do not show to this process. Names that no topic can have are not asked for. */
export function lookForForbidden(
  { ask }: GroupRuntime,
  names: readonly string[],
  onForbidden: (topic: string, failure: Failure) => void
): void {
  const topics = names.filter(isTopic)
  if (topics.length === 0) return
  ask('fetchTopicMetadata', { requestId: 0, topics, timeoutMs: LOOK_UP_TIMEOUT_MS }, result => {
    for (const [topic, { errorCode }] of result.type === 'success' ? result.topics : []) {
      const failure = kafkaFailure(errorCode)
      if (isForbidden(failure)) onForbidden(topic, failure)
    }
  })
}

/** Says once why something is refused, however often it is tried again. */
export class Refusals {
  readonly #log: Logger
  /** What was said last, by what was refused. */
  readonly #said = new Map<string, string>()

  constructor(log: Logger) {
    this.#log = log
  }

  say(what: string, fields: object, { message }: Failure, text: string): void {
    if (this.#said.get(what) === message) return
    this.#said.set(what, message)
    this.#log.error({ ...fields, reason: message }, text)
  }

  /** It is not refused any more. */
  forget(what: string): void {
    this.#said.delete(what)
  }
}
