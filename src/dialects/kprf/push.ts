import type { Gateway, ProduceOptions, ProduceTicket } from '../../gateway/gateway.js'
import { type Certainty, certaintyOf, persistedText } from '../../gateway/persisted.js'
import type { RecordFailure, RecordOutcome } from '../../operations.js'
import type { Admission, Admissions } from './admission.js'
import type { Following } from './following.js'
import type { PushRecord, PushRequest } from './push-request.js'
import { toClientError, toMessage } from './record-errors.js'

/** What came of a push. */
export interface PushResult {
  /** `undefined`: nothing to complain of. Else one text per record, `undefined` where it is fine. */
  readonly errors: readonly (string | undefined)[] | undefined
  /** Whether the records are in Kafka's log, as the header says it. */
  readonly persisted: string
}

const allDelivered: PushResult = { errors: undefined, persisted: persistedText(['yes']) }
const allPending: PushResult = { errors: undefined, persisted: persistedText(['pending']) }

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
    const { records: admitted, refusals } = this.#admissions.admit(records)
    const refused = admitted.length === 0 ? undefined : this.#produce(admitted, this.#async).ticket.refused
    if (refusals === undefined && refused === undefined && admitted.length > 0) return allPending
    const certainties = admitted.map((_, at): Certainty => refused?.[at]?.persisted ?? 'pending')
    const persisted = persistedText(inRequestOrder(refusals, certainties, () => 'no'))
    if (this.#whenFull === 'drop' || !refused?.some(isFull)) return { errors: undefined, persisted }
    const texts = refused.map(failure => (isFull(failure) ? toMessage(toClientError(failure)) : undefined))
    return { errors: inRequestOrder(refusals, texts, () => undefined), persisted }
  }

  /**
   * Answers when the outcome of every record is known, or the time is over. Until then nothing of the records is held:
   * a hundred views of each body that wait for Kafka are what the garbage collector then has to carry along.
   */
  deliver({ records }: PushRequest): Promise<PushResult> {
    const admission = this.#admissions.admit(records)
    const { refusals } = admission
    if (admission.records.length === 0) return Promise.resolve(toResult(refusals, []))
    return this.#produce(admission.records, this.#sync).outcomes.then(outcomes => toResult(refusals, outcomes))
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

function toResult(refusals: Admission['refusals'], outcomes: readonly RecordOutcome[]): PushResult {
  if (refusals === undefined && outcomes.every(isDelivered)) return allDelivered
  return {
    errors: inRequestOrder(refusals, outcomes.map(toText), refusal => refusal),
    persisted: persistedText(inRequestOrder(refusals, outcomes.map(certaintyOf), () => 'no'))
  }
}

/** Puts what is said of the records that went on between what is said of those that were refused before. */
function inRequestOrder<Said>(
  refusals: Admission['refusals'],
  said: readonly Said[],
  ofRefusal: (refusal: string) => Said
): readonly Said[] {
  if (refusals === undefined) return said
  let next = 0
  return refusals.map(refusal => (refusal === undefined ? said[next++]! : ofRefusal(refusal)))
}
