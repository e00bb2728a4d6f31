import type { ActorRef } from '../../core/actor/actor.js'
import type { Logger, RecordFailure } from '../../core/model.js'
import { CodecUnavailableError } from '../../kafka/compression-errors.js'
import type { RouterMessage, SealedBatch } from '../../router/messages/operations.js'
import { failures } from './failures.js'
import { persistedOf } from './verdict.js'

/** A partition as the schedule and the numbering see it. */
export interface ScheduledProducer {
  readonly topic: string
  readonly partition: number
  /** Set by the schedule alone; `undefined`: the schedule does not know the partition. */
  scheduled?: 'busy' | 'emptied' | undefined
  /** The batch to send now; `undefined`: there is none, or no producer id yet. */
  take(): SealedBatch | undefined
  /** Ends waits whose time is over. */
  tick(nowMs: number): void
  /** Fails all records; a batch that the Router has may still be written. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void
}

/** A partition is looked at this often, even when none of its waits is over before. */
const LOOK_EVERY_MS = 500

/**
 * When a partition has to be looked at again. With tens of thousands of partitions that hold records, looking at each of them in
 * every tick would cost more than sending their batches.
 */
export class NextLook {
  #at = 0

  /** The partition has to be looked at by this time. */
  by(at: number): void {
    if (at < this.#at) this.#at = at
  }

  isDue(nowMs: number): boolean {
    if (nowMs < this.#at) return false
    this.#at = nowMs + LOOK_EVERY_MS
    return true
  }
}

/** Decides when partitions send. */
export interface Schedule {
  /** The partition has a batch: its `take` is called once, at the end of the tick. */
  ready(producer: ScheduledProducer): void
  /** The partition holds no record. */
  emptied(producer: ScheduledProducer): void
}

export interface PartitionScheduleOptions {
  readonly router: ActorRef<RouterMessage>
  readonly log: Logger
  /** Called with the batches of a tick and their partitions. The batches are sent when the promise resolves. */
  readonly beforeSending?: ((batches: ReadonlyMap<ScheduledProducer, SealedBatch>) => Promise<unknown>) | undefined
}

/** Sealing this many batches takes a few milliseconds; the partitions after them are next in the following tick. */
const MOST_PER_TICK = 1_000

/**
 * Sends batches of partitions: those that become ready in one tick are sent to the Router in one message. Where there are very
 * many, they take turns over several ticks, so that requests are answered in between.
 */
export class PartitionSchedule implements Schedule {
  readonly #options: PartitionScheduleOptions
  /**
   * Partitions that hold records, and those that were emptied since the last tick: a partition that gets records again
   * keeps its place. Adding it to a set and removing it for each batch would cost more than sealing the batch.
   */
  readonly #listed: ScheduledProducer[] = []
  #ready: ScheduledProducer[] = []
  #isFlushPlanned = false

  constructor(options: PartitionScheduleOptions) {
    this.#options = options
  }

  ready(producer: ScheduledProducer): void {
    if (producer.scheduled === undefined) this.#listed.push(producer)
    producer.scheduled = 'busy'
    this.#ready.push(producer)
    this.#planFlush()
  }

  #planFlush(): void {
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    setImmediate(() => this.#flush())
  }

  emptied(producer: ScheduledProducer): void {
    if (producer.scheduled !== undefined) producer.scheduled = 'emptied'
  }

  tick(nowMs: number): void {
    const listed = this.#listed
    let kept = 0
    let at = 0
    try {
      for (; at < listed.length; at++) {
        const producer = listed[at]!
        if (producer.scheduled === 'busy') producer.tick(nowMs)
        // Its waits may have ended with its last record.
        if (this.#isBusy(producer)) listed[kept++] = producer
        else producer.scheduled = undefined
      }
    } finally {
      listed.splice(kept, at - kept)
    }
  }

  #isBusy({ scheduled }: ScheduledProducer): boolean {
    return scheduled === 'busy'
  }

  #flush(): void {
    this.#isFlushPlanned = false
    const producers = this.#ready
    this.#ready = producers.splice(MOST_PER_TICK)
    const batches: SealedBatch[] = []
    const senders: ScheduledProducer[] = []
    for (const producer of producers) {
      const batch = this.#take(producer)
      if (batch === undefined) continue
      batches.push(batch)
      senders.push(producer)
    }
    if (this.#ready.length > 0) this.#planFlush()
    if (batches.length > 0) this.#sendNoted(senders, batches)
  }

  #sendNoted(senders: readonly ScheduledProducer[], batches: readonly SealedBatch[]): void {
    const { beforeSending, log } = this.#options
    if (beforeSending === undefined) this.#send(batches)
    else
      beforeSending(new Map(senders.map((producer, at) => [producer, batches[at]!])))
        .catch(error => log.error({ err: error }, 'the preparation of batches met a bug'))
        .then(() => this.#send(batches))
  }

  #send(batches: readonly SealedBatch[]): void {
    this.#options.router.tell({ type: 'produceBatches', batches })
  }

  /** An exception in one partition does not affect others. */
  #take(producer: ScheduledProducer): SealedBatch | undefined {
    try {
      return producer.take()
    } catch (error) {
      if (error instanceof CodecUnavailableError) {
        producer.close(maybeWritten => failures.codecUnavailable(error.message, persistedOf(maybeWritten)))
        return undefined
      }
      const { topic, partition } = producer
      this.#options.log.error({ err: error, topic, partition }, 'a producer met a bug and was emptied')
      producer.close(maybeWritten => failures.bug(persistedOf(maybeWritten)))
      return undefined
    }
  }
}
