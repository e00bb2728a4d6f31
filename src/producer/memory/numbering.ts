import { type ActorRef, ask } from '../../core/actor/actor.js'
import { A_FIFTH_AROUND, backoffMs } from '../../core/backoff.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { ResultOf, RouterMessage } from '../../router/messages/operations.js'
import type { ScheduledProducer } from './partition-schedule.js'
import type { DeliverySettings } from './settings.js'

/** How a producer numbers the batches of a partition, so that brokers recognise duplicates and gaps. */
export interface Numbering {
  readonly producerId: bigint
  readonly epoch: number
  readonly nextSequence: number
}

export const MAX_EPOCH = 0x7fff
/** Sequences are 0 to 2147483647. */
const SEQUENCES = 0x80000000

/** The number of the first batch that a partition writes under a producer id. */
export const newNumbering = (producerId: bigint, epoch: number): Numbering => ({ producerId, epoch, nextSequence: 0 })

/** The number after a batch of `recordCount` records was appended. 2147483647 is followed by 0. */
export function advanced({ producerId, epoch, nextSequence }: Numbering, recordCount: number): Numbering {
  const next = nextSequence + recordCount
  return { producerId, epoch, nextSequence: next < SEQUENCES ? next : next - SEQUENCES }
}

/** The next epoch from sequence 0, which fences late copies of earlier batches; `undefined` when no epoch is left. */
export const raised = (numbering: Numbering): Numbering | undefined =>
  numbering.epoch >= MAX_EPOCH ? undefined : newNumbering(numbering.producerId, numbering.epoch + 1)

/** Gives partitions their producer id and epoch. */
export interface Numbers {
  /** The first number; `undefined`: there is no producer id yet. The partition becomes ready again when there is an id. */
  numbering(producer: ScheduledProducer): Numbering | undefined
  /** Called when a partition has used all epochs of this producer id. */
  usedUp(producerId: bigint): void
  /** The epoch is that of a transactional id, which only its coordinator raises: one epoch is all of them. */
  readonly isFixed?: boolean
}

/** The producer id, epoch and sequence of the next batch of a partition. */
export class PartitionNumbering {
  readonly #numbers: Numbers
  #current: Numbering | undefined
  /** A broker may have seen a batch under the current number. */
  #isSeen = false

  constructor(numbers: Numbers) {
    this.#numbers = numbers
  }

  /** The next number; `undefined`: nothing was written under the present producer id. */
  get current(): Numbering | undefined {
    return this.#current
  }

  /** The next number; `undefined`: there is no producer id yet. The partition becomes ready when there is one. */
  start(producer: ScheduledProducer): Numbering | undefined {
    this.#current ??= this.#numbers.numbering(producer)
    return this.#current
  }

  /**
   * Continues with the number where another process, or this partition, has stopped; `undefined`: it is unknown, so the
   * batch gets a number that no batch of this partition has had.
   */
  resume(numbering: Numbering | undefined): void {
    if (numbering === undefined) this.raise()
    else this.#current = numbering
    this.#isSeen = numbering !== undefined
  }

  /** A batch with the current number was on its way to a broker. */
  seen(): void {
    this.#isSeen = true
  }

  /**
   * The next batch with the current number has other records than the last one. If a broker may have seen the last
   * batch, the epoch is raised, even if the broker said that it had not written it: had it written it nevertheless, it
   * would take the new records for duplicates and drop them.
   */
  changeRecords(): void {
    if (this.#isSeen) this.raise()
  }

  /**
   * A broker has refused the batch with the current number before it wrote anything, and no copy of it is on its way. Where the
   * epoch is fixed the number is used again, as by Kafka's own producer: another epoch would end the transaction.
   */
  refused(): void {
    if (this.#numbers.isFixed) this.#isSeen = false
  }

  /** A batch was appended. Ignored if another cluster was connected meanwhile. */
  advance(recordCount: number): void {
    this.#isSeen = false
    if (this.#current !== undefined) this.#current = advanced(this.#current, recordCount)
  }

  /** Takes the next epoch, which fences late copies of all earlier batches. */
  raise(): void {
    this.#isSeen = false
    const used = this.#current
    if (used === undefined) return
    this.#current = this.#numbers.isFixed ? undefined : raised(used)
    if (this.#current === undefined) this.#numbers.usedUp(used.producerId)
  }

  /** Gives up the producer id after another cluster is connected: there it may be the id of another producer. */
  forget(): void {
    this.#isSeen = false
    this.#current = undefined
  }
}

/** Numbers for all partitions of one delivery. */
export interface NumberingIdentity extends Numbers {
  /** A partition's producer is forgotten. A later one must not repeat its sequences. */
  retired(numbering: Numbering): void
  /** Called when another cluster is connected, where the id may belong to another producer. */
  clusterChanged(): void
  /** Why brokers refuse a producer id; `undefined`: they have given one since, or were not asked for a minute. */
  readonly refusal?: IdRefusal | undefined
  close(): void
}

/** Time limit for one attempt; after it another broker is asked. */
const TIMEOUT_MS = 1_500
/** Margin beyond the time limit of the call: the Router itself answers within the limit. */
const BELT_MS = 1_000
/** A refusal counts for operators as long as this; records that wait ask again much sooner. */
const REFUSAL_COUNTS_FOR_MS = 60_000

/** Why brokers give no producer id, as far as they have said so: they do not know the call, or its right is missing. */
export type IdRefusal = ResultOf<'initProducerId'> & { readonly type: 'failed' }

export interface IdentityWaiters {
  /** There is a producer id now: `take` of these producers returns a batch. */
  ready(producers: readonly ScheduledProducer[]): void
  refused(producers: readonly ScheduledProducer[], refusal: IdRefusal): void
}

/**
 * The producer id of this process. It is requested when the first batch is ready, and until brokers grant it. Partitions that
 * are ready wait for it.
 */
export class ProducerIdentity implements NumberingIdentity {
  readonly #router: ActorRef<RouterMessage>
  readonly #settings: DeliverySettings
  readonly #random: () => number
  readonly #log: Logger
  readonly #clock: MonotonicClock
  readonly #waiters: IdentityWaiters
  readonly #producers = new Set<ScheduledProducer>()
  #current: { readonly producerId: bigint; readonly producerEpoch: number } | undefined
  /** First epoch of new partitions: forgotten partitions may have used the ones below. */
  #firstEpoch = 0
  #isAsking = false
  #isClosed = false
  #failedAttempts = 0
  /** The last answer that was final. */
  #refused: { readonly refusal: IdRefusal; readonly at: number } | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(
    deps: {
      router: ActorRef<RouterMessage>
      settings: DeliverySettings
      random: () => number
      log: Logger
      clock: MonotonicClock
    },
    waiters: IdentityWaiters
  ) {
    this.#router = deps.router
    this.#settings = deps.settings
    this.#random = deps.random
    this.#log = deps.log
    this.#clock = deps.clock
    this.#waiters = waiters
  }

  /** The first number of a partition; without a producer id the partition is passed to `ready` later. */
  numbering(producer: ScheduledProducer): Numbering | undefined {
    if (this.#current !== undefined) {
      const { producerId, producerEpoch } = this.#current
      return newNumbering(producerId, Math.max(producerEpoch, this.#firstEpoch))
    }
    this.#producers.add(producer)
    this.#ask()
    return undefined
  }

  /** A partition has no epoch left under this id; other partitions go on with it. */
  usedUp(producerId: bigint): void {
    if (this.#current?.producerId === producerId) this.#current = undefined
  }

  retired({ producerId, epoch }: Numbering): void {
    if (this.#current?.producerId !== producerId) return
    this.#firstEpoch = Math.max(this.#firstEpoch, epoch + 1)
    if (this.#firstEpoch > MAX_EPOCH) this.#current = undefined
  }

  clusterChanged(): void {
    this.#current = undefined
    this.#refused = undefined
  }

  get refusal(): IdRefusal | undefined {
    const { refusal, at } = this.#refused ?? { at: Number.NEGATIVE_INFINITY }
    return this.#clock() - at < REFUSAL_COUNTS_FOR_MS ? refusal : undefined
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#isClosed = true
  }

  #ask(): void {
    if (this.#isAsking || this.#isClosed) return
    this.#isAsking = true
    ask<ResultOf<'initProducerId'>>('a producer id', TIMEOUT_MS + BELT_MS, requester =>
      this.#router.tell({ type: 'initProducerId', timeoutMs: TIMEOUT_MS, requester })
    ).then(
      result => this.#answered(result),
      () => this.#answered({ type: 'timedOut' })
    )
  }

  #answered(result: ResultOf<'initProducerId'>): void {
    if (this.#isClosed) return
    // A broker that has just come up answers with id -1.
    if (result.type !== 'success' || result.producerId < 0n) this.#askLater(result)
    else this.#answeredWith(result)
  }

  #answeredWith(identity: { readonly producerId: bigint; readonly producerEpoch: number }): void {
    this.#isAsking = false
    this.#failedAttempts = 0
    this.#refused = undefined
    this.#current = identity
    this.#firstEpoch = 0
    this.#waiters.ready(this.#takeProducers())
  }

  #takeProducers(): readonly ScheduledProducer[] {
    const producers = [...this.#producers]
    this.#producers.clear()
    return producers
  }

  #askLater(result: ResultOf<'initProducerId'>): void {
    const { retryBackoffMs, retryBackoffMaxMs } = this.#settings
    this.#failedAttempts++
    const reason = result.type === 'failed' ? result.message : 'no broker answered'
    if (result.type === 'failed' && !result.retriable) {
      this.#refused = { refusal: result, at: this.#clock() }
      this.#waiters.refused(this.#takeProducers(), result)
    }
    if (this.#failedAttempts % 10 === 1) this.#log.warn({}, `no producer id yet, asking again: ${reason}`)
    this.#timer = setTimeout(
      () => {
        this.#isAsking = false
        if (this.#producers.size > 0) this.#ask()
      },
      backoffMs(this.#failedAttempts - 1, retryBackoffMs, retryBackoffMaxMs, this.#random, A_FIFTH_AROUND)
    )
  }
}
