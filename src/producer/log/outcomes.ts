import type { Persisted } from '../../core/model.js'

/** Place of a record in Kafka. */
export interface RecordPlace {
  readonly partition: number
  /** -1: unknown. */
  readonly offset: number
  readonly timestampMs: number
}

/** A record of the log that is a dead letter now. */
export interface DeadOutcome {
  readonly type: 'deadLetter'
  readonly sequence: number
  readonly destination: string
  readonly code: string
  readonly message: string
  readonly diedAtMs: number
  /** Whether Kafka may have it from an earlier attempt; absent in files of earlier versions. */
  readonly persisted?: Persisted | undefined
}

/** Outcome of one entry of the log. */
export type EntryOutcome =
  | ({ readonly type: 'delivered'; readonly sequence: number; readonly destination: string } & RecordPlace)
  | DeadOutcome

/** Outcomes of delivered entries, as they pass from one thread to another. */
export interface DeliveredRows {
  readonly destinations: readonly string[]
  /** Per entry: sequence, index of the destination, partition, offset, timestamp. */
  readonly numbers: Float64Array
}

const NUMBERS_PER_ROW = 5

/** Gathers where Kafka has records. */
export class OutcomeRows {
  readonly #destinations = new Map<string, number>()
  #numbers: number[] = []

  get isEmpty(): boolean {
    return this.#numbers.length === 0
  }

  add(destination: string, sequence: number, { partition, offset, timestampMs }: RecordPlace): void {
    const index = this.#destinations.get(destination) ?? this.#destinations.size
    if (index === this.#destinations.size) this.#destinations.set(destination, index)
    this.#numbers.push(sequence, index, partition, offset, timestampMs)
  }

  /** The rows since the last call. */
  take(): DeliveredRows {
    const rows = { destinations: [...this.#destinations.keys()], numbers: Float64Array.from(this.#numbers) }
    this.#destinations.clear()
    this.#numbers = []
    return rows
  }
}

/** The outcomes in rows, in the order in which they were added. */
export function* outcomesIn({ destinations, numbers }: DeliveredRows): Generator<EntryOutcome> {
  for (let at = 0; at < numbers.length; at += NUMBERS_PER_ROW) {
    yield {
      type: 'delivered',
      sequence: numbers[at]!,
      destination: destinations[numbers[at + 1]!]!,
      partition: numbers[at + 2]!,
      offset: numbers[at + 3]!,
      timestampMs: numbers[at + 4]!
    }
  }
}
