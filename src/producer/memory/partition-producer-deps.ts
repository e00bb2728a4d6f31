import type { Logger, MonotonicClock, Offset, RecordFailure } from '../../core/model.js'
import type { BatchBufferPool } from '../../kafka/batch-buffer-pool.js'
import type { SealedBatch } from '../../router/messages/operations.js'
import type { PartitionBudget } from './budget.js'
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

/** A partition as seen by what schedules and numbers it. */
export interface ScheduledProducer {
  readonly topic: string
  readonly partition: number
  /** What to send now; `undefined`: nothing, or no producer id yet. */
  take(): SealedBatch | undefined
  /** Ends waits that are over. */
  tick(nowMs: number): void
  /** Fails everything; what the Router has may still be written. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void
}

/** Says when partitions send. */
export interface Schedule {
  /** The partition wants its `take` called, once, together with all others of this turn. */
  ready(producer: ScheduledProducer): void
  /** The partition holds nothing. */
  emptied(producer: ScheduledProducer): void
}

/** Gives partitions their producer id and epoch. */
export interface Numbers {
  /** Where to start; `undefined`: there is no producer id yet, and the partition is made ready again when there is one. */
  numbering(producer: ScheduledProducer): Numbering | undefined
  /** All epochs of this producer id are used up on some partition. */
  usedUp(producerId: bigint): void
}

/** Looks after partitions whose records are in the durable log, where they stay until Kafka has them. */
export interface BatchOwner {
  /** Kafka refuses this record for good. Resolves when it is among the dead letters; false: it cannot be, try again. */
  deadLetter(index: number, failure: RecordFailure): Promise<boolean>
  /** Kafka refuses records of the topic, which stay where they are. */
  refused?(topic: string, failure: RecordFailure): void
  /** The partition waits before it tries again. */
  delayed(producer: ScheduledProducer): void
  /** The partition waits until it is woken: there is nowhere to send its records. */
  suspended(producer: ScheduledProducer, failure: RecordFailure): void
}

/** A batch that a broker may have written, as its header says. */
export interface SoughtBatch {
  readonly topic: string
  readonly partition: number
  /** Its own: `nextSequence` is the sequence of its first record. */
  readonly numbering: Numbering
  readonly recordCount: number
  /** Epoch milliseconds. Its newest record has this time, or a later one. */
  readonly sinceMs: number
  /** It is not before this offset. */
  readonly from: Offset
  /** A broker said that it does not know the producer. Otherwise it is asked how long brokers remember producers. */
  readonly isForgotten: boolean
}
export type Finding =
  /** It is in the log. */
  | { readonly type: 'found'; readonly baseOffset: Offset }
  /** It is not in the log, whose end is `end`, or brokers still know its producer and recognise it. */
  | { readonly type: 'absent'; readonly end: Offset }
  /** Not known yet. It is not before `from`. `queuedMs`: how long the search of others held it up. */
  | { readonly type: 'later'; readonly from: Offset; readonly reason: string; readonly queuedMs?: number }
  /** It cannot be known. */
  | { readonly type: 'unknown'; readonly reason: string }

/** Looks in the log of a partition for a batch of which no answer has come. */
export interface WrittenBatches {
  /** Epoch milliseconds. */
  now(): number
  /** Whether brokers may have forgotten a producer whose newest record has this time, so that a look is worth its while. */
  mayBeForgotten(sinceMs: number): boolean
  /** Takes less than a minute once it is its turn, and never rejects. */
  find(batch: SoughtBatch): Promise<Finding>
  /** The batch is sent again although it may be in the log. */
  sentUnknown(batch: Pick<SoughtBatch, 'topic' | 'partition' | 'recordCount'>, reason: string): void
}

/** What is known of the cluster that partitions write to. */
export interface ClusterState {
  /** The Kafka cluster that producer ids belong to; `undefined`: no broker has told. */
  readonly clusterId: string | undefined
  /** Why no broker can be reached, if none can. */
  readonly awayBecause: string | undefined
}

/** Limits of a partition. Records of a partition whose `timeoutMs` is infinite never expire. */
export type PartitionProducerSettings = Pick<
  DeliverySettings,
  | 'maxPartitionBytes'
  | 'batchMaxBytes'
  | 'timeoutMs'
  | 'retryBackoffMs'
  | 'retryBackoffMaxMs'
  | 'answerTimeoutMs'
  | 'compression'
>

/** What all partitions of a delivery share. */
export interface PartitionProducerDeps {
  readonly settings: PartitionProducerSettings
  readonly clock: MonotonicClock
  readonly random: () => number
  readonly log: Logger
  readonly counters: DeliveryCounters
  readonly batchBuffers: BatchBufferPool
  readonly cluster: ClusterState
  readonly budget: PartitionBudget
  readonly schedule: Schedule
  readonly numbers: Numbers
  /** Epoch milliseconds: the time that records get when they are sent. Absent: they keep the one that they came with. */
  readonly sendTimeMs?: (() => number) | undefined
  /** Told when a batch is given to the Router for the first time: how long its oldest record has waited for that. */
  readonly waitedInPartition?: ((waitedMs: number) => void) | undefined
  /** Absent: brokers are trusted to recognise each batch that is sent again. */
  readonly written?: WrittenBatches | undefined
  /** Absent: what is lost is lost, and the requests that wait are told. */
  readonly owner?: BatchOwner | undefined
}
