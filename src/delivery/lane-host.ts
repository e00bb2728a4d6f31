import type { Logger, MonotonicClock } from '../model.js'
import type { RecordFailure, SealedBatch } from '../operations.js'
import type { SlabPool } from '../wire/slab-pool.js'
import type { Numbering } from './numbering.js'
import type { DeliverySettings } from './settings.js'

/** What happened to records since the start. */
export interface DeliveryCounters {
  delivered: number
  /** Settled as failed by Kafka or by the end of their time; the withdrawn ones apart. */
  failed: number
  /** Taken out unsent at their deadline. */
  withdrawn: number
  /** Not taken. */
  refused: number
  /** Attempts that will be repeated, in batches. */
  retries: number
}

/** What delivery does with a lane that has told it something. */
export interface HostedLane {
  readonly topic: string
  readonly partition: number
  /** What to send now; `undefined`: nothing, or no producer id yet. */
  take(): SealedBatch | undefined
  /** Ends waits that are over. */
  tick(nowMs: number): void
  /** Fails everything; what the Router has may still be written. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void
}

/** What a lane needs from delivery. */
export interface LaneHost {
  readonly settings: DeliverySettings
  readonly clock: MonotonicClock
  readonly random: () => number
  readonly log: Logger
  readonly counters: DeliveryCounters
  readonly slabs: SlabPool
  /** The Kafka cluster that producer ids belong to; `undefined`: no broker has told. */
  readonly clusterId: string | undefined
  /** Why no broker can be reached, if none can. */
  readonly awayBecause: string | undefined
  /** Bytes and records came (or, negative, went). */
  held(bytes: number, records: number): void
  /** A single request may take so many bytes more than its lane's share: enough of the buffer is left to others. */
  hasSpare(bytes: number): boolean
  /** The lane wants its `take` called, once, together with all others of this turn. */
  ready(lane: HostedLane): void
  /** The lane holds nothing. */
  emptied(lane: HostedLane): void
  /** A batch was sealed or is full, or there is trouble: records without a key may go elsewhere from here on. */
  batchClosed(lane: HostedLane): void
  /** Producer id, epoch and sequence to start with; `undefined`: none yet, the lane is asked again when there is one. */
  numbering(lane: HostedLane): Numbering | undefined
  /** All epochs of this producer id are used up on some partition. */
  usedUp(producerId: bigint): void
  /** Records of a topic wait for a look-up. */
  lookUpSoon(): void
  /** A broker or the Router does not know the topic or the partition. */
  lookUp(lane: HostedLane): void
  /** Brokers or the Router have said for too long that the topic does not exist. */
  topicMissing(lane: HostedLane): void
}
