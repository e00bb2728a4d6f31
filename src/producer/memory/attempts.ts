import { A_FIFTH_AROUND, backoffMs } from '../../core/backoff.js'
import type { Logger, Persisted, RecordFailure, TopicPartition } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { BatchAnswer, SealedBatch } from '../../router/messages/operations.js'
import { failures } from './failures.js'
import type { ClusterState } from './partition-producer-deps.js'
import type { DeliverySettings } from './settings.js'
import { type Obstacle, obstacleOf } from './topic-view.js'

/**
 * Pause before the first retry after a change of leader: the new leader is usually known within moments; otherwise it
 * takes much longer.
 */
const SOON_MS = 15
/** The attempt after which a warning is logged, about a second after the first one. */
const ATTEMPTS_WORTH_A_LINE = 4

export interface AttemptingPartition extends TopicPartition {
  /** The answer to the attempt that is awaited. */
  attemptAnswered(answer: BatchAnswer): void
}

/**
 * Attempts to send the batch of one partition: how many there were, the answer that is awaited, and why Kafka does not
 * have the records yet, which becomes the reason of the failure when their time is over.
 */
export class Attempts {
  readonly #partition: AttemptingPartition
  readonly #cluster: ClusterState
  readonly #log: Logger
  /** Attempts with the present batch. */
  count = 0
  #awaited: SendAttempt | undefined
  /** The object of an attempt that is over for the Router, too; for the next one. */
  #spare: SendAttempt | undefined
  #sentAt = 0
  #reason = 'it was waiting to be sent'
  /** The last answer was that the leader does not know the partition. */
  #isDenied = false
  /** Why the leader could not be reached; cleared when a broker answers. */
  #lastError: string | undefined
  /** The problem that the last answer reports; `undefined`: the answer was a success, or there was none yet. */
  #obstacle: Obstacle | undefined

  constructor(partition: AttemptingPartition, cluster: ClusterState, log: Logger) {
    this.#partition = partition
    this.#cluster = cluster
    this.#log = log
  }

  get #topicPartition(): TopicPartition {
    const { topic, partition } = this.#partition
    return { topic, partition }
  }

  /** Begins to count the attempts of another batch. */
  begin(): void {
    this.count = 0
    this.#obstacle = undefined
  }

  /** Why Kafka does not have the batch yet; `undefined`: no answer says so. */
  get obstacle(): Obstacle | undefined {
    if (this.#obstacle !== undefined || this.#lastError === undefined) return this.#obstacle
    return { error: 'brokerUnreachable', message: this.#lastError }
  }

  /** The batch as the Router takes it. Its answer is awaited from now on; answers to earlier attempts are ignored. */
  send(batch: NumberedBatch, nowMs: number): SealedBatch {
    const sealed = this.#spare ?? new SendAttempt(this.#partition, this)
    this.#spare = undefined
    sealed.batch = batch
    sealed.sizeBytes = batch.sentSizeBytes
    sealed.clusterId = this.#cluster.clusterId
    sealed.transactionalId = batch.transactionalId
    this.count++
    this.#awaited = sealed
    this.#sentAt = Math.floor(nowMs)
    return sealed
  }

  /** The answer to this attempt is awaited. */
  awaits(sealed: SealedBatch): boolean {
    return this.#awaited === sealed
  }

  waitedMs(nowMs: number): number {
    return nowMs - this.#sentAt
  }

  /** Takes the batch back from the Router, which may keep the object for a while. @returns false when bytes of it may have left, and its answer is still awaited */
  recall(): boolean {
    const awaited = this.#awaited
    this.forget()
    if (awaited?.recall?.()) {
      awaited.batch = NO_BATCH
      return true
    }
    this.#awaited = awaited
    return false
  }

  /** Uncounts the attempt that was taken back. */
  recalled(): void {
    this.count--
  }

  /** Stops waiting for an answer. */
  forget(): void {
    this.#awaited = undefined
  }

  answered(answer: BatchAnswer): void {
    this.#keep(answer)
    this.forget()
    this.#obstacle = answer.type === 'appended' ? undefined : obstacleOf(answer)
    this.#isDenied =
      (answer.type === 'rejected' && answer.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) ||
      (answer.type === 'notSent' && answer.reason === 'uncreatedTopic')
    if (answer.type === 'appended' || answer.type === 'rejected') this.#lastError = undefined
  }

  /** The Router has forgotten a batch that was appended. It may still hold an earlier attempt. */
  #keep(answer: BatchAnswer): void {
    const over = this.#awaited
    if (answer.type !== 'appended' || this.count !== 1 || over === undefined) return
    over.batch = NO_BATCH
    over.recall = undefined
    this.#spare = over
  }

  /** The Router keeps trying; `lastError` says why, if it is known. */
  delayed(lastError: string | undefined): void {
    this.#lastError = lastError
  }

  /** A broker has refused the batch for the present, for this reason. */
  refused(reason: string): void {
    this.#reason = reason
  }

  /**
   * Like {@link refused}, for a batch that is tried again. @param soon see {@link retryPauseMs} @returns the pause
   * before the next attempt
   */
  pauseMs(reason: string, soon: boolean, settings: DeliverySettings, random: () => number): number {
    this.refused(reason)
    if (this.count === ATTEMPTS_WORTH_A_LINE)
      this.#log.warn({ ...this.#topicPartition, attempts: this.count }, `kafka does not take a batch yet: ${reason}`)
    return retryPauseMs(this.count, soon, settings, random)
  }

  /** Why the leader cannot be reached; `undefined`: no reason is known. */
  get cause(): string | undefined {
    return this.#lastError ?? this.#cluster.awayBecause
  }

  /** Why Kafka does not have the batch yet. */
  get why(): string {
    const { cause } = this
    return cause === undefined ? this.#reason : `${this.#reason}: ${cause}`
  }

  timedOut(persisted: Persisted): RecordFailure {
    return failures.timedOut(this.#reason, persisted, this.cause)
  }

  /** The failure of one record whose time is over. */
  tooLate(persisted: Persisted): RecordFailure {
    const isUnknown = this.#isDenied && persisted === 'no'
    return isUnknown ? failures.unknownTopic(this.#partition.topic) : this.timedOut(persisted)
  }

  /** Logs that the brokers have forgotten the producer. */
  stateLost(epoch: number | undefined, reason: string): void {
    const text = `kafka has forgotten this producer, continuing with the next epoch: ${reason}`
    this.#log.warn({ ...this.#topicPartition, epoch }, text)
  }

  notDelivered(records: number, { code, message }: RecordFailure): void {
    this.#log.warn({ ...this.#topicPartition, records, code }, `records were not delivered: ${message}`)
  }

  /** The Router answers every request in time, so a missing answer is a bug. @returns the answer to use instead */
  giveUpWaiting(): BatchAnswer {
    const error = new Error('the router did not answer')
    this.#log.error({ ...this.#topicPartition }, error.message)
    if (this.recall()) return { type: 'notSent', reason: 'noLeader', message: error.message }
    return { type: 'unanswered', error }
  }
}

/** A batch that has its number. */
interface NumberedBatch {
  readonly bytes: Buffer
  readonly sentSizeBytes: number
  readonly transactionalId?: string | undefined
}
const NO_BATCH: NumberedBatch = { bytes: Buffer.alloc(0), sentSizeBytes: 0 }

/** One attempt to send a batch, in the form in which the Router receives it. */
class SendAttempt implements SealedBatch {
  readonly topic: string
  readonly partition: number
  batch = NO_BATCH
  sizeBytes = 0
  clusterId: string | undefined = undefined
  transactionalId: string | undefined = undefined
  /** Set by the Router, as the next one is. */
  recall: (() => boolean) | undefined = undefined
  accepted: SealedBatch['accepted'] = undefined
  readonly #attempts: Attempts
  readonly #of: AttemptingPartition

  constructor(of: AttemptingPartition, attempts: Attempts) {
    this.topic = of.topic
    this.partition = of.partition
    this.#attempts = attempts
    this.#of = of
  }

  get bytes(): Buffer {
    return this.batch.bytes
  }

  answer(answer: BatchAnswer): void {
    if (this.#attempts.awaits(this)) this.#of.attemptAnswered(answer)
  }

  delayed(lastError: string): void {
    if (this.#attempts.awaits(this)) this.#attempts.delayed(lastError)
  }
}

/**
 * How long a batch waits before it is tried again.
 *
 * @param attempts so far
 * @param soon true: the leader has changed
 */
export const retryPauseMs = (
  attempts: number,
  soon: boolean,
  { retryBackoffMs, retryBackoffMaxMs }: DeliverySettings,
  random: () => number
): number =>
  soon && attempts === 1
    ? SOON_MS * (0.5 + random())
    : backoffMs(attempts - 1, retryBackoffMs, retryBackoffMaxMs, random, A_FIFTH_AROUND)
