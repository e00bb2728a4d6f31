import type { ClusterChange } from '../../core/model.js'
import { BatchBufferPool } from '../../kafka/record-batch-writer.js'
import type { DeliveryDeps } from './delivery.js'
import { LogSearch } from './log-search.js'
import { type IdentityWaiters, type IdRefusal, type NumberingIdentity, ProducerIdentity } from './numbering.js'
import { OwnTime } from './own-time.js'
import type { PartitionProducer } from './partition-producer.js'
import { type ClusterState, newCounters, type SharedByPartitions } from './partition-producer-deps.js'
import { PartitionSchedule, type PartitionScheduleOptions, type ScheduledProducer } from './partition-schedule.js'
import type { SenderSettings } from './settings.js'

/** Memory of buffers that are kept for the next batches: as much as several busy partitions fill in one round trip. */
const SPARE_SEGMENT_BYTES = 8 * 1024 * 1024

/** Options that differ between records in memory and records of the durable log. */
export interface ClusterSenderOptions extends Pick<PartitionScheduleOptions, 'beforeSending'> {
  readonly settings: SenderSettings
  /** Brokers refuse to give these partitions a producer id. */
  readonly identityRefused: IdentityWaiters['refused']
  /** Absent: the sender asks the brokers for a producer id. */
  readonly identity?: NumberingIdentity | undefined
}

/**
 * Sends the batches of one delivery to its Kafka cluster: under one producer id, in the order of its partitions. Each delivery has
 * one of its own, because sequences of a partition that two deliveries number under the same producer id would collide.
 */
export class ClusterSender implements ClusterState {
  readonly schedule: PartitionSchedule
  /** The objects that all partitions of the sender share. */
  readonly shared: SharedByPartitions
  readonly #identity: NumberingIdentity
  readonly #written: LogSearch
  readonly #awayBecause: DeliveryDeps['awayBecause']
  clusterId: string | undefined

  constructor(deps: DeliveryDeps, { settings, beforeSending, identityRefused, identity }: ClusterSenderOptions) {
    const { router, clock, random, log, tracing } = deps
    this.#awayBecause = deps.awayBecause
    this.schedule = new PartitionSchedule({ router, clock, log, beforeSending })
    this.#written = new LogSearch(deps)
    this.#identity =
      identity ??
      new ProducerIdentity(
        { router, settings, random, log, clock },
        { ready: producers => this.ready(producers), refused: identityRefused }
      )
    this.shared = {
      settings,
      clock,
      random,
      log,
      counters: newCounters(),
      batchBuffers: new BatchBufferPool(SPARE_SEGMENT_BYTES),
      spareBatches: [],
      cluster: this,
      schedule: this.schedule,
      numbers: this.#identity,
      // Transactions need no search of the log: a batch that a broker has forgotten ends the transaction.
      written: identity === undefined ? this.#written : undefined,
      ownTime: new OwnTime(deps),
      tracing
    }
  }

  get awayBecause(): string | undefined {
    return this.#awayBecause?.()?.message ?? this.idRefusal?.message
  }

  get idRefusal(): IdRefusal | undefined {
    return this.#identity.refusal
  }

  /** Schedules these partitions, which have batches to send. */
  ready(producers: readonly ScheduledProducer[]): void {
    for (const producer of producers) this.schedule.ready(producer)
  }

  /** @returns whether all that belongs to the former cluster is void: batches are sent under a new producer id then */
  clusterChanged({ before, now }: ClusterChange): boolean {
    this.clusterId = now
    if (before === undefined) return false
    this.#identity.clusterChanged()
    this.#written.clusterChanged()
    return true
  }

  /** The partitions of a topic are not used any more. Later producers of them will not repeat their sequences. */
  forget(producers: readonly (PartitionProducer | undefined)[]): void {
    for (const producer of producers) if (producer?.numbering !== undefined) this.#identity.retired(producer.numbering)
  }

  close(): void {
    this.#identity.close()
    this.#written.close()
  }
}
