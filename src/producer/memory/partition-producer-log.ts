import type { Logger, RecordFailure, TopicPartition } from '../../core/model.js'

/** The lines that a partition logs. */
export class PartitionProducerLog {
  readonly #log: Logger
  readonly #place: TopicPartition

  constructor(log: Logger, { topic, partition }: TopicPartition) {
    this.#log = log
    this.#place = { topic, partition }
  }

  stateLost(epoch: number | undefined, reason: string): void {
    const text = `kafka has lost what it knew of this producer, going on with the next epoch: ${reason}`
    this.#log.warn({ ...this.#place, epoch }, text)
  }

  notDelivered(records: number, { code, message }: RecordFailure): void {
    this.#log.warn({ ...this.#place, records, code }, `records were not delivered: ${message}`)
  }

  notTakenYet(attempts: number, reason: string): void {
    this.#log.warn({ ...this.#place, attempts }, `a batch is not taken yet: ${reason}`)
  }

  /** A bug: the Router answers every request in time. */
  notAnswered(error: Error): void {
    this.#log.error({ ...this.#place }, error.message)
  }
}
