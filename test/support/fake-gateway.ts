import type { Gateway, ProduceOptions, ProduceTicket } from '../../src/gateway/gateway.js'
import type { ProduceRecord } from '../../src/model.js'
import type { RecordFailure, RecordOutcome } from '../../src/operations.js'

/** A record as the gateway was given it, its bytes copied as the contract demands. */
export interface TakenRecord {
  readonly topic: string
  readonly partition: number | undefined
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** A call of produce that the test may settle. */
export interface TakenCall {
  readonly records: readonly TakenRecord[]
  readonly options: ProduceOptions
  settle(outcomes: readonly RecordOutcome[]): void
}

export const delivered = (partition = 0, offset = 0): RecordOutcome => ({
  type: 'delivered',
  partition,
  offset,
  timestampMs: 0
})

export const failure = (code: RecordFailure['code'], errorCode?: number): RecordFailure => ({
  type: 'failed',
  code,
  errorCode,
  message: `made up for a test: ${code}`,
  persisted: 'no',
  retriable: false
})

/**
 * A gateway without Kafka. It keeps every call; by default a record is delivered at once.
 *
 *   new FakeGateway({ refuse: record => (record.topic === 'full' ? failure('overloaded') : undefined) })
 */
export class FakeGateway implements Gateway {
  isReady = true
  readonly calls: TakenCall[] = []
  readonly #refuse: (record: ProduceRecord, index: number) => RecordFailure | undefined
  readonly #outcome: ((record: ProduceRecord, index: number) => RecordOutcome) | 'by hand'

  /** @param behaviour `outcome: 'by hand'` leaves every call open until the test settles it */
  constructor(
    behaviour: {
      refuse?: (record: ProduceRecord, index: number) => RecordFailure | undefined
      outcome?: ((record: ProduceRecord, index: number) => RecordOutcome) | 'by hand'
    } = {}
  ) {
    this.#refuse = behaviour.refuse ?? (() => undefined)
    this.#outcome = behaviour.outcome ?? (() => delivered())
  }

  get records(): TakenRecord[] {
    return this.calls.flatMap(({ records }) => records)
  }

  produce(records: readonly ProduceRecord[], options: ProduceOptions): ProduceTicket {
    const refusals = records.map((record, index) => this.#refuse(record, index))
    const refused = refusals.some(refusal => refusal !== undefined) ? refusals : undefined
    const { promise, settle } = withResolver<readonly RecordOutcome[]>()
    const answer = (outcomes: readonly RecordOutcome[]): void =>
      settle(outcomes.map((outcome, i) => refusals[i] ?? outcome))
    this.calls.push({ records: records.map(copy), options, settle: answer })
    if (this.#outcome !== 'by hand') answer(records.map(this.#outcome))
    return { refused, outcomes: () => promise }
  }
}

const copy = ({ topic, partition, key, value }: ProduceRecord): TakenRecord => ({
  topic,
  partition,
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value)
})

function withResolver<Value>(): { promise: Promise<Value>; settle: (value: Value) => void } {
  let settle: (value: Value) => void = () => {}
  const promise = new Promise<Value>(resolve => (settle = resolve))
  return { promise, settle }
}
