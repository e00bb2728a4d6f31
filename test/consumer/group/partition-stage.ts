import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import type { TrackedPosition } from '../../../src/consumer/group/offset-tracker.js'
import {
  PartitionConsumer,
  type PartitionConsumerOptions,
  type TakenRecord
} from '../../../src/consumer/group/partition-consumer.js'
import { type FakeRuntime, noTransactions, takeFrom } from './fake-runtime.js'

export const ACK_TIMEOUT_MS = 500

type Given = Partial<PartitionConsumerOptions> & { readonly maxRetries?: number }

/** One partition of a group over a {@link FakeRuntime}: the room's own consumer, and what it has told. */
export class PartitionStage {
  readonly runtime: FakeRuntime
  readonly batches = new HeldBatches(1_000_000)
  consumer!: PartitionConsumer
  /** What the group commits next. */
  position: TrackedPosition | undefined
  /** A request waits. */
  isWanted = true
  readonly #options: Given

  /** @param isBegun whether a member reads it already */
  constructor(runtime: FakeRuntime, options: Given = {}, isBegun = true) {
    this.runtime = runtime
    this.#options = options
    if (isBegun) this.begin()
  }

  /** A member begins to read. */
  begin(): void {
    const { maxRetries = -1, ...options } = this.#options
    this.consumer = new PartitionConsumer({
      topicPartition: { topic: 'orders', partition: 0 },
      runtime: this.runtime,
      batches: this.batches,
      start: onStart => onStart('latest'),
      tracker: { ackTimeoutMs: ACK_TIMEOUT_MS, maxRetries },
      maxPendingMessages: 300,
      retryBackoffMs: 100,
      submit: source => (this.position = source.position),
      commits: noTransactions,
      demand: { isOpen: () => this.isWanted, prefetched: () => {}, idle: () => {}, lost: () => {} },
      onSettled: () => {},
      onRefused: () => {},
      ...options
    })
    this.runtime.settle()
  }

  /** The member ends, and another one goes on from what it has submitted. */
  restart(): void {
    this.consumer?.stop()
    this.runtime.committed = this.position
    this.begin()
  }

  /** Takes the next message; `undefined`: there is none at the moment. */
  take(): TakenRecord | undefined {
    return takeFrom(this.consumer, this.runtime)
  }

  next(): number | undefined {
    return this.take()?.offset
  }

  nextFew(count: number): (number | undefined)[] {
    return Array.from({ length: count }, () => this.next())
  }

  /** Another partition gets a batch that needs all memory. */
  needMemory(): void {
    this.batches.hold({ dropBatch: () => {} }, 1_000_000)
  }
}
