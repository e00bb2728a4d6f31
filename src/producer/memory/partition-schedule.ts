import type { ActorRef } from '../../core/actor/actor.js'
import { Fifo } from '../../core/fifo.js'
import type { Logger, MonotonicClock, RecordFailure } from '../../core/model.js'
import { CodecUnavailableError } from '../../kafka/compression-errors.js'
import type { RouterMessage, SealedBatch } from '../../router/messages/operations.js'
import { failures } from './failures.js'
import { persistedOf } from './verdict.js'

/** A partition as the schedule and the numbering see it. */
export interface ScheduledProducer {
  readonly topic: string
  readonly partition: number
  /** Set by the schedule alone: its place in the list; `undefined`: it is not listed. */
  place?: number | undefined
  /** Set by the schedule alone. */
  isEmptied?: boolean
  /** The batch to send now; `undefined`: there is none, or no producer id yet. */
  take(nowMs: number): SealedBatch | undefined
  /** Ends waits whose time is over, and says by {@link Schedule.lookBy} when the next one may be. */
  tick(nowMs: number): void
  /** Fails all records; a batch that the Router has may still be written. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void
}

/** A partition is looked at this often, even when none of its waits is over before. */
const LOOK_EVERY_MS = 500

export interface Schedule {
  /** The partition has a batch: its `take` is called once, at the end of the tick. */
  ready(producer: ScheduledProducer): void
  emptied(producer: ScheduledProducer): void
  /** A wait of the partition ends at this time. */
  lookBy(producer: ScheduledProducer, at: number): void
}

export interface PartitionScheduleOptions {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
  readonly log: Logger
  /**
   * Called with the batches of a tick and their partitions. The batches are sent when the promise resolves, unless with
   * `false`: their partitions are then being given up.
   */
  readonly beforeSending?: ((batches: ReadonlyMap<ScheduledProducer, SealedBatch>) => Promise<unknown>) | undefined
}

/**
 * Sealing this many batches takes a millisecond, and what they need may stay in the cache of the processor until the Router
 * has sent them. The partitions after them are next in the following tick.
 */
const MOST_PER_TICK = 200

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
  readonly #listed: (ScheduledProducer | undefined)[] = []
  /**
   * When each of them has to be looked at again. With tens of thousands of partitions that hold records, looking at each
   * of them in every tick would cost more than sending their batches.
   */
  readonly #lookAt: number[] = []
  /** The number of listed partitions. The lists are not made shorter: growing them again would cost more than their memory. */
  #count = 0
  readonly #ready = new Fifo<ScheduledProducer>()
  #isFlushPlanned = false

  constructor(options: PartitionScheduleOptions) {
    this.#options = options
  }

  ready(producer: ScheduledProducer): void {
    producer.isEmptied = false
    if (producer.place === undefined) {
      producer.place = this.#count++
      this.#listed[producer.place] = producer
      this.#lookAt[producer.place] = 0
    }
    this.#ready.push(producer)
    this.#planFlush()
  }

  #planFlush(): void {
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    setImmediate(() => this.#flush())
  }

  emptied(producer: ScheduledProducer): void {
    producer.isEmptied = true
  }

  lookBy({ place }: ScheduledProducer, at: number): void {
    if (place !== undefined && at < this.#lookAt[place]!) this.#lookAt[place] = at
  }

  tick(nowMs: number): void {
    const lookAt = this.#lookAt
    for (let at = 0; at < this.#count; ) {
      if (nowMs < lookAt[at]!) {
        at++
        continue
      }
      const producer = this.#listed[at]!
      lookAt[at] = nowMs + LOOK_EVERY_MS
      if (producer.isEmptied !== true) producer.tick(nowMs)
      // Its waits may have ended with its last record.
      if (producer.isEmptied === true) this.#remove(producer, at)
      else at++
    }
  }

  /** Puts the last partition into the place of another one. */
  #remove(producer: ScheduledProducer, place: number): void {
    const last = this.#listed[--this.#count]!
    this.#listed[this.#count] = undefined
    producer.place = undefined
    if (last === producer) return
    this.#listed[place] = last
    this.#lookAt[place] = this.#lookAt[this.#count]!
    last.place = place
  }

  #flush(): void {
    this.#isFlushPlanned = false
    const turns = Math.min(this.#ready.size, MOST_PER_TICK)
    const batches = new Array<SealedBatch>(turns)
    let count = 0
    const senders: ScheduledProducer[] = []
    const { beforeSending } = this.#options
    const nowMs = this.#options.clock()
    for (let turn = 0; turn < turns; turn++) {
      const producer = this.#ready.shift()!
      const batch = this.#take(producer, nowMs)
      if (batch === undefined) continue
      batches[count++] = batch
      if (beforeSending !== undefined) senders.push(producer)
    }
    batches.length = count
    if (this.#ready.size > 0) this.#planFlush()
    if (count === 0) return
    if (beforeSending === undefined) this.#send(batches)
    else
      beforeSending(new Map(senders.map((producer, at) => [producer, batches[at]!])))
        .catch(error => this.#options.log.error({ err: error }, 'the preparation of batches met a bug'))
        .then(mayBeSent => {
          if (mayBeSent !== false) this.#send(batches)
        })
  }

  #send(batches: readonly SealedBatch[]): void {
    this.#options.router.tell({ type: 'produceBatches', batches })
  }

  /** An exception in one partition does not affect others. */
  #take(producer: ScheduledProducer, nowMs: number): SealedBatch | undefined {
    try {
      return producer.take(nowMs)
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
