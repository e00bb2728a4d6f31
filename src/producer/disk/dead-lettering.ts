import type { Logger, RecordFailure } from '../../core/model.js'
import { kafkaErrorOf } from '../../kafka/error-codes.js'
import type { DurableLog } from '../log/durable-log.js'
import type { StoredEntry } from '../log/entry.js'

export interface DeadLetteringOptions {
  readonly log: Logger
  readonly logOf: () => DurableLog
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Makes dead letters of records that Kafka refuses for good, one by one, so that they do not stop what comes behind. */
export class DeadLettering {
  readonly #options: DeadLetteringOptions
  /** Those whose partitions have not been told yet. */
  readonly #untold = new Set<number>()
  #count = 0

  constructor(options: DeadLetteringOptions) {
    this.#options = options
  }

  /** Dead letters that were made. */
  get count(): number {
    return this.#count
  }

  /** False when the record could not become a dead letter, and stays in the log. */
  async deadLetter(sequence: number, failure: RecordFailure): Promise<boolean> {
    try {
      return await this.#deadLetter(sequence, failure)
    } catch (error) {
      this.#options.log.error({ err: error, sequence }, 'a record that Kafka refuses could not become a dead letter')
      return false
    }
  }

  /** Whether this record has become a dead letter: true once, for its partition. */
  takeDeadLetter(sequence: number): boolean {
    return this.#untold.delete(sequence)
  }

  async #deadLetter(sequence: number, failure: RecordFailure): Promise<boolean> {
    const entry = await this.#entryAt(sequence)
    const code = failure.errorCode === undefined ? failure.code : kafkaErrorOf(failure.errorCode).name
    const fields = { destination: entry?.destination, sequence, code }
    const { log, logOf, now } = this.#options
    const refusal = entry && (await logOf().deadLetter(entry, { code, message: failure.message, diedAtMs: now() }))
    if (refusal !== undefined) {
      log.error(fields, `a record that Kafka refuses stops its partition, since it cannot be kept: ${refusal.message}`)
      return false
    }
    this.#untold.add(sequence)
    this.#count++
    log.error(fields, `a record is a dead letter now: ${failure.message}; castellan wal dead-letters lists them`)
    return true
  }

  /** `undefined`: it is completed, or damage took it. */
  async #entryAt(sequence: number): Promise<StoredEntry | undefined> {
    const { entries } = await this.#options.logOf().read({ fromSequence: sequence, maxBytes: 1 })
    return entries.find(entry => entry.sequence === sequence)
  }
}
