import type { ActorRef } from '../../core/actor/actor.js'
import { pause } from '../../core/ending.js'
import type { CastellanError } from '../../core/errors.js'
import type { KafkaRecord, Logger, LogPosition, Offset } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import type { Failure, TimedOut } from '../../router/messages/request.js'
import { failureOf, kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import { askRouter } from '../../router/routing/ask-router.js'
import { asking } from '../partition/ask.js'
import { PartitionLog } from '../partition/partition-log.js'
import type { ReadOutcome, ReadTrouble } from '../partition/read-outcome.js'
import type { UnplacedRecord } from './stored-instance.js'

const TIMEOUT_MS = 10_000
/** How often a leader is asked that does not show all records yet, and the pause between. */
const MAX_SHORT_READS = 40
const SHORT_READ_PAUSE_MS = 50
const COMPACTED = { 'cleanup.policy': 'compact' }
/**
 * Kafka compacts closed segments only. With these, what was replaced is read for minutes more, not for a week, and what does
 * not count replaces nothing before its owner has written again.
 */
const CONFIGS = {
  ...COMPACTED,
  'segment.bytes': '1048576',
  'segment.ms': '600000',
  'min.compaction.lag.ms': '60000'
}
/** A service may not allow such segments. */
const REFUSALS_OF_CONFIGS: readonly unknown[] = [errorCodes.INVALID_CONFIG, errorCodes.POLICY_VIOLATION]
const LATE = ownFailure('timedOut', 'Kafka has not answered a request for the states of instances in time', true)
const CHANGED = ownFailure('timedOut', 'the topic of the states of instances has changed', true)

export interface CompactedTopicOptions {
  readonly router: ActorRef<RouterMessage>
  /** Name of the topic, which is created with the first record. */
  readonly topic: string
  readonly log: Logger
  readonly onRecord: (record: KafkaRecord) => void
  /** Called before the topic is read again. `isAnother`: it may be another topic of this name. */
  readonly onForgotten: (isAnother: boolean) => void
}

/** The only partition of a compacted topic. Each record comes once, until it is read again. */
export class CompactedTopic {
  readonly #options: CompactedTopicOptions
  readonly #place: { readonly topic: string; readonly partition: number }
  /** The next offset to read; `undefined`: from the earliest record. */
  #next: Offset | undefined
  /** `undefined`: it is not known whether there is the topic. */
  #log: PartitionLog | undefined

  constructor(options: CompactedTopicOptions) {
    this.#options = options
    this.#place = { topic: options.topic, partition: 0 }
  }

  /** The id of the topic; empty: it is not known, or the brokers have none. */
  get id(): string {
    return this.#log?.topicId ?? ''
  }

  /** The offset up to which the log was read; -1: nothing was. */
  get readTo(): Offset {
    return (this.#next ?? 0) - 1
  }

  /** Reads all records that are in the log at the time of the call. @throws TopicError, TimedOutError */
  async readToEnd(): Promise<void> {
    const log = (this.#log ??= await this.#find())
    if (log === undefined) return
    const end = await this.#bound(log, 'latest')
    if (end.offset < (this.#next ?? 0)) return this.#readAnew()
    this.#next ??= (await this.#bound(log, 'earliest')).offset
    let shortReads = 0
    while (this.#next < end.offset || log.isNewLeader(end.leaderEpoch)) {
      const outcome = await log.readOnce({ offset: this.#next, told: end.offset, timeoutMs: TIMEOUT_MS })
      if (outcome.type === 'end') return
      if (outcome.type === 'cut') return this.#readAnew()
      const next = this.#nextAfter(outcome)
      if (next !== undefined) [this.#next, shortReads] = [next, 0]
      // A new leader shows the former end when its followers have caught up.
      else if (++shortReads > MAX_SHORT_READS) throw new TopicError(LATE)
      else await pause(SHORT_READ_PAUSE_MS)
    }
  }

  /** @returns `undefined`: the leader does not show all records yet @throws TopicError */
  #nextAfter(outcome: ReadOutcome): Offset | undefined {
    if (outcome.type === 'records') {
      for (const record of outcome.batch) this.#options.onRecord(record)
      return outcome.batch.nextOffset
    }
    if (outcome.type === 'skipped' && outcome.why !== 'deleted') return outcome.next
    return outcome.type === 'retry' && outcome.why === 'notShown' ? undefined : this.#fail(outcome)
  }

  /** The log has lost its end, and records that were read with it. */
  #readAnew(): Promise<void> {
    this.forget(true)
    return this.readToEnd()
  }

  /** The next read begins at the earliest record. */
  forget(isAnother: boolean): void {
    this.#log = this.#next = undefined
    this.#options.onForgotten(isAnother)
  }

  /** @returns the offset of the last record @throws TopicError, TimedOutError */
  async append(records: readonly UnplacedRecord[]): Promise<Offset> {
    if (this.#log === undefined) await this.#create()
    const placed = records.map(record => ({ ...record, ...this.#place }))
    const asked = { type: 'produce', records: placed, timeoutMs: TIMEOUT_MS } as const
    let last = 0
    for (const outcome of (await askRouter(this.#options.router, asked)).outcomes) {
      if (outcome.type !== 'delivered') throw new TopicError({ ...outcome, type: 'failed' })
      last = outcome.offset
    }
    return last
  }

  async #create(settings: Readonly<Record<string, string>> = CONFIGS): Promise<void> {
    const { router, topic, log } = this.#options
    const configs = new Map(Object.entries(settings))
    const shape = { partitions: 1, replicationFactor: -1, assignments: new Map(), configs, validateOnly: false }
    const result = await askRouter(router, { type: 'createTopic', topic, ...shape, timeoutMs: TIMEOUT_MS })
    if (result.type === 'failed' && result.errorCode === errorCodes.TOPIC_ALREADY_EXISTS) return
    if (result.type === 'failed') {
      if (settings !== COMPACTED && REFUSALS_OF_CONFIGS.includes(result.errorCode)) return this.#create(COMPACTED)
      throw new TopicError(result, !result.retriable)
    }
    answered(result)
    router.tell({ type: 'topicChanged', topic, isDeleted: false })
    log.info({ topic }, 'the topic for the states of consumer instances was created')
  }

  /** @returns `undefined`: there is no such topic */
  async #find(): Promise<PartitionLog | undefined> {
    const { router, topic } = this.#options
    const asked = { type: 'fetchTopicMetadata', topics: [topic], timeoutMs: TIMEOUT_MS } as const
    const { errorCode, topicId } = answered(await askRouter(router, asked)).topics.get(topic)!
    if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) return undefined
    if (errorCode !== errorCodes.NONE) throw new TopicError(kafkaFailure(errorCode))
    return new PartitionLog(asking(router), this.#place, topicId, TIMEOUT_MS)
  }

  async #bound(log: PartitionLog, offsetType: 'latest' | 'earliest'): Promise<LogPosition> {
    const found = await new Promise<LogPosition | ReadTrouble>(resolve => log.bound(offsetType, resolve))
    return 'type' in found ? this.#fail(found) : found
  }

  /** @throws TopicError */
  #fail(outcome: ReadOutcome): never {
    if (outcome.type === 'refused' || (outcome.type === 'retry' && outcome.why === 'failed'))
      throw new TopicError(outcome.failure)
    if (outcome.type === 'retry') throw new TopicError(LATE)
    this.forget(true)
    throw new TopicError(CHANGED)
  }
}

/** Kafka has refused a request, or has not answered it. */
export class TopicError extends Error {
  readonly failure: Failure
  /** Asking again will not help. */
  readonly isFinal: boolean

  constructor(failure: Failure, isFinal = failure.code === 'notAuthorized') {
    super(failure.message)
    this.failure = failure
    this.isFinal = isFinal
  }
}

/** @throws TopicError */
function answered<Result extends { readonly type: string }>(result: Result): Exclude<Result, Failure | TimedOut> {
  if (result.type === 'timedOut') throw new TopicError(LATE)
  if (result.type === 'failed') throw new TopicError(result as Result & Failure)
  return result as Exclude<Result, Failure | TimedOut>
}

export const failureOfError = (error: unknown): Failure =>
  error instanceof TopicError ? error.failure : failureOf(error as CastellanError)
