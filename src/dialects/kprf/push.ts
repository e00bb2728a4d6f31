import type { Gateway, ProduceOptions, ProduceTicket } from '../../gateway/gateway.js'
import type { RecordFailure, RecordOutcome } from '../../operations.js'
import type { Admission, Admissions } from './admission.js'
import type { Following } from './following.js'
import type { PushRecord, PushRequest } from './push-request.js'
import { toClientError, toMessage } from './record-errors.js'

/** What came of a push: nothing to complain of, or one text per record, `undefined` where it is fine. */
export type PushResult = 'ok' | readonly (string | undefined)[]

/** How a dialect waits, and what it does with what cannot wait. */
export interface PushOptions {
  readonly messageTimeoutMs: number
  readonly asyncTimeoutMs: number
  readonly whenFull: 'refuse' | 'drop'
}

/** Hands the records of a push to the gateway, all of them before any outcome is awaited. */
export class Push {
  readonly #gateway: Gateway
  readonly #admissions: Admissions
  readonly #following: Following
  readonly #whenFull: PushOptions['whenFull']
  readonly #sync: ProduceOptions
  readonly #async: ProduceOptions
  readonly #clock: () => number

  constructor(
    gateway: Gateway,
    admissions: Admissions,
    following: Following,
    { messageTimeoutMs, asyncTimeoutMs, whenFull }: PushOptions,
    clock: () => number
  ) {
    this.#gateway = gateway
    this.#admissions = admissions
    this.#following = following
    this.#whenFull = whenFull
    this.#sync = { partitioner: 'crc32', deadlineMs: messageTimeoutMs }
    this.#async = { partitioner: 'crc32', deadlineMs: asyncTimeoutMs }
    this.#clock = clock
  }

  /** Answers without waiting for Kafka; complains only of records that found no room. */
  enqueue({ records }: PushRequest): PushResult {
    const admission = this.#admissions.admit(records)
    if (admission.records.length === 0) return 'ok'
    const { refused } = this.#produce(admission.records, this.#async).ticket
    if (refused === undefined || this.#whenFull === 'drop' || !refused.some(isFull)) return 'ok'
    const messages = refused.map(failure => (isFull(failure) ? toMessage(toClientError(failure)) : undefined))
    return inRequestOrder(admission.refusals, messages, false)
  }

  /**
   * Answers when the outcome of every record is known, or the time is over. Until then nothing of the records is held:
   * a hundred views of each body that wait for Kafka are what the garbage collector then has to carry along.
   */
  deliver({ records }: PushRequest): Promise<PushResult> {
    const admission = this.#admissions.admit(records)
    const { refusals } = admission
    if (admission.records.length === 0) return Promise.resolve(refusals ?? 'ok')
    return this.#produce(admission.records, this.#sync).outcomes.then(outcomes =>
      refusals === undefined && outcomes.every(isDelivered)
        ? 'ok'
        : inRequestOrder(refusals, outcomes.map(toText), true)
    )
  }

  #produce(
    records: readonly PushRecord[],
    options: ProduceOptions
  ): { ticket: ProduceTicket; outcomes: Promise<readonly RecordOutcome[]> } {
    const startedAt = this.#clock()
    const topics = this.#following.begin(records)
    const ticket = this.#gateway.produce(records, options)
    const outcomes = ticket.outcomes().then(all => {
      this.#following.end(topics, all, startedAt, this.#clock())
      return all
    })
    return { ticket, outcomes }
  }
}

const isDelivered = ({ type }: RecordOutcome): boolean => type === 'delivered'

const isFull = (failure: RecordFailure | undefined): failure is RecordFailure =>
  failure?.code === 'overloaded' || failure?.code === 'shuttingDown'

const toText = (outcome: RecordOutcome): string | undefined =>
  outcome.type === 'failed' ? toMessage(toClientError(outcome)) : undefined

/** Puts the texts of the records that went on between those of the records that did not. */
function inRequestOrder(
  refusals: Admission['refusals'],
  texts: readonly (string | undefined)[],
  tellsRefusals: boolean
): readonly (string | undefined)[] {
  if (refusals === undefined) return texts
  let next = 0
  return refusals.map(refusal => {
    if (refusal === undefined) return texts[next++]
    return tellsRefusals ? refusal : undefined
  })
}
