import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import type { PartitionProducerDeps } from '../memory/partition-producer-deps.js'
import type { FeedTarget } from './log-feed.js'
import type { ReadAhead } from './read-ahead.js'
import type { Recalled, SentBatch } from './recalled-batches.js'

/** What topics of the durable log share. */
export interface DurableTopicDeps extends PartitionProducerDeps {
  readonly readAhead: ReadAhead
  /** The most that one partition may hold. */
  readonly maxPartitionBytes: number
  /** The topic may want entries of the log. */
  want(topic: FeedTarget): void
  /** Has the Router tell what there is to know about the topic, after `pauseMs`. */
  follow(topic: { readonly name: string }, pauseMs: number): void
  /** Brokers refuse the topic itself; its records stay in the log. */
  refused(topic: string, failure: RecordFailure): void
  /** The record is in Kafka's log: it need not be kept. */
  delivered(sequence: number, outcome: RecordOutcome & { type: 'delivered' }): void
  /** Tells who waits for the record that it is a dead letter. False: it is none, so it must be sent again. */
  settleDeadLetter(sequence: number, failure: RecordFailure): boolean
  /** Reads the records of a batch that another process has sent. */
  recall(topic: Pick<FeedTarget, 'destination'>, batch: SentBatch): Promise<Recalled>
  /** What was delivered is not read from the log any more. */
  flushCompletions(): void
}
