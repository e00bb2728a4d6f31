import type { Logger, RecordFailure, RecordOutcome } from '../../core/model.js'
import { kafkaErrorOf } from '../../kafka/error-codes.js'
import type { LoggedRecords } from '../keys/logged-records.js'
import type { DurableLog } from '../log/durable-log.js'
import type { StoredEntry } from '../log/entry.js'
import { readPatiently } from '../log/patient-read.js'
import { Waiters } from './durable-pending-produce.js'

export interface RecordOutcomesOptions {
  readonly log: Logger
  readonly logOf: () => DurableLog
  /** Epoch milliseconds. */
  readonly now: () => number
  /** The records of requests with a key. Absent: no request has one. */
  readonly keys?: Pick<LoggedRecords, 'settled'> | undefined
}

/**
 * Ends the life of records in the durable log: delivered ones are completed, refused ones become dead letters. Notifies
 * the requests that wait.
 */
export class RecordOutcomes {
  readonly waiters = new Waiters()
  readonly #options: RecordOutcomesOptions
  /** Dead letters of which their partitions were not notified yet. */
  readonly #untold = new Set<number>()
  #deadLetters = 0

  constructor(options: RecordOutcomesOptions) {
    this.#options = options
  }

  /** Dead letters that were made. */
  get deadLetters(): number {
    return this.#deadLetters
  }

  /** Kafka has the record: the log need not keep it. */
  delivered(destination: string, sequence: number, outcome: RecordOutcome & { type: 'delivered' }): void {
    this.#options.keys?.settled(sequence, outcome)
    this.#options.logOf().delivered(destination, sequence, outcome)
    this.waiters.settle(sequence, outcome)
  }

  /** Records of the topic stay in the log until Kafka permits writing to it. Requests need not wait for that. */
  refused(topic: string, destination: string, failure: RecordFailure): void {
    const { code, message } = failure
    const text = `records stay in the durable log, because kafka refuses to take them: ${message}`
    this.#options.log.warn({ topic, code }, text)
    this.waiters.settleAll(destination, { ...failure, persisted: 'pending' })
  }

  /**
   * Makes a dead letter of a record that Kafka refuses for good. False: that failed, and the record stays in the log.
   */
  async deadLetter(sequence: number, failure: RecordFailure): Promise<boolean> {
    try {
      return await this.#deadLetter(sequence, failure)
    } catch (error) {
      this.#options.log.error({ err: error, sequence }, 'a record that Kafka refuses could not become a dead letter')
      return false
    }
  }

  /**
   * Notifies the request that waits for the record that it is a dead letter. False: it could not be made a dead letter
   * and must be sent again.
   */
  settleDeadLetter(sequence: number, failure: RecordFailure): boolean {
    if (!this.#untold.delete(sequence)) return false
    this.#options.keys?.settled(sequence, failure)
    this.waiters.settle(sequence, failure)
    return true
  }

  async #deadLetter(sequence: number, failure: RecordFailure): Promise<boolean> {
    const entry = await this.#entryAt(sequence)
    const code = failure.errorCode === undefined ? failure.code : kafkaErrorOf(failure.errorCode).name
    const fields = { destination: entry?.destination, sequence, code }
    const { log, logOf, now } = this.#options
    const { message, persisted } = failure
    const refusal = entry && (await logOf().deadLetter(entry, { code, message, diedAtMs: now(), persisted }))
    if (refusal !== undefined) {
      log.error(
        fields,
        `a record that Kafka refuses stops its partition, because it could not become a dead letter: ${refusal.message}`
      )
      return false
    }
    this.#untold.add(sequence)
    this.#deadLetters++
    log.error(fields, `a record is a dead letter now: ${failure.message}; castellan wal dead-letters lists them`)
    return true
  }

  /** `undefined`: the entry is completed, or was lost to damage. */
  async #entryAt(sequence: number): Promise<StoredEntry | undefined> {
    const { entries } = await readPatiently(this.#options.logOf(), { fromSequence: sequence, maxBytes: 1 })
    return entries.find(entry => entry.sequence === sequence)
  }
}
