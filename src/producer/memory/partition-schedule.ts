import type { ActorRef } from '../../core/actor/actor.js'
import type { Logger } from '../../core/model.js'
import { CodecUnavailableError } from '../../kafka/codec-unavailable-error.js'
import type { RouterMessage, SealedBatch } from '../../router/messages/operations.js'
import { failures } from './failures.js'
import type { Schedule, ScheduledProducer } from './partition-producer-deps.js'
import { persistedOf } from './verdict.js'

export interface PartitionScheduleOptions {
  readonly router: ActorRef<RouterMessage>
  readonly log: Logger
  /** Called with the batches of a turn and their partitions before they are sent; they are sent when it resolves. */
  readonly beforeSending?: ((batches: ReadonlyMap<ScheduledProducer, SealedBatch>) => Promise<unknown>) | undefined
}

/** Sends what partitions have ready: all that became ready in one turn of the event loop leave in one message. */
export class PartitionSchedule implements Schedule {
  readonly #options: PartitionScheduleOptions
  /** Partitions that hold something. */
  readonly #busy = new Set<ScheduledProducer>()
  #ready: ScheduledProducer[] = []
  #isFlushPlanned = false

  constructor(options: PartitionScheduleOptions) {
    this.#options = options
  }

  ready(producer: ScheduledProducer): void {
    this.#busy.add(producer)
    this.#ready.push(producer)
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    setImmediate(() => this.#flush())
  }

  emptied(producer: ScheduledProducer): void {
    this.#busy.delete(producer)
  }

  tick(nowMs: number): void {
    for (const producer of this.#busy) producer.tick(nowMs)
  }

  #flush(): void {
    this.#isFlushPlanned = false
    const batches = new Map<ScheduledProducer, SealedBatch>()
    for (const producer of this.#ready.splice(0)) {
      const batch = this.#take(producer)
      if (batch !== undefined) batches.set(producer, batch)
    }
    if (batches.size === 0) return
    const { beforeSending } = this.#options
    if (beforeSending === undefined) this.#send(batches)
    else
      beforeSending(batches)
        .catch(error => this.#options.log.error({ err: error }, 'batches that are about to be sent met a bug'))
        .then(() => this.#send(batches))
  }

  #send(batches: ReadonlyMap<ScheduledProducer, SealedBatch>): void {
    this.#options.router.tell({ type: 'produceBatches', batches: [...batches.values()] })
  }

  /** A bug met in one partition stays in it. */
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
