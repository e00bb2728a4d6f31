import type { Persisted, RecordFailure } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { BatchAnswer } from '../../router/messages/operations.js'
import { failures } from './failures.js'
import type { ClusterState } from './partition-producer-deps.js'

/** Why the records of a partition are not in Kafka yet: what a record is told when its time is over. */
export class PartitionTrouble {
  readonly #topic: string
  readonly #cluster: ClusterState
  #reason = 'it was waiting to be sent'
  /** The last answer was that the leader does not know the partition. */
  #isDenied = false
  /** Why the leader could not be reached, since a broker last answered. */
  #lastError: string | undefined

  constructor(topic: string, cluster: ClusterState) {
    this.#topic = topic
    this.#cluster = cluster
  }

  /** Why the leader cannot be reached, if it cannot. */
  get cause(): string | undefined {
    return this.#lastError ?? this.#cluster.awayBecause
  }

  /** The Router has answered. */
  answered(answer: BatchAnswer): void {
    this.#isDenied = answer.type === 'rejected' && answer.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
    if (answer.type === 'appended' || answer.type === 'rejected') this.#lastError = undefined
  }

  /** The Router goes on trying, because of this error if it says one. */
  delayed(lastError: string | undefined): void {
    this.#lastError = lastError
  }

  /** The batch is not taken now. */
  refused(reason: string): void {
    this.#reason = reason
  }

  timedOut(persisted: Persisted): RecordFailure {
    return failures.timedOut(this.#reason, persisted, this.cause)
  }

  /** What a single record is told whose time is over. */
  readonly tooLate = (persisted: Persisted): RecordFailure =>
    this.#isDenied && persisted === 'no' ? failures.unknownTopic(this.#topic) : this.timedOut(persisted)
}
