import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { KafkaRecord, Offset } from '../model.js'
import type { Failure } from '../operations.js'
import type { Deadlines } from '../requests/deadlines.js'
import { ownFailure } from '../requests/failures.js'
import type { ConsumedMessage } from './consume-result.js'
import type { AckOutcome, PartitionConsumer } from './partition-consumer.js'
import type { WaitingRequest } from './waiting-request.js'

export interface TopicConsumerOptions {
  readonly topic: string
  readonly groupId: string
  readonly deadlines: Deadlines
  readonly metrics: MetricsLogger
  readonly maxWaitingRequests: number
  readonly createPartition: (partition: number, onStaged: () => void) => PartitionConsumer
  /** Calls back in a turn of the group's actor. */
  readonly inTurn: (run: () => void) => void
  /** Acknowledgement and return of a message, in a turn of the group's actor. */
  readonly ack: (partition: number, offset: Offset) => void
  readonly giveBack: (partition: number, record: KafkaRecord) => void
}

/**
 * The requests of one group for one topic, first come first served, and the partitions that the member reads of it. One
 * message of each partition in turn, in ascending order; partitions without a staged message are passed over.
 */
export class TopicConsumer {
  readonly #options: TopicConsumerOptions
  readonly #partitions = new Map<number, PartitionConsumer>()
  /** Ascending. */
  #inOrder: PartitionConsumer[] = []
  #queue: WaitingRequest[] = []
  #lastServed = -1
  #isPaused = true
  #isServing = false

  constructor(options: TopicConsumerOptions) {
    this.#options = options
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#queue.reduce((open, { settled }) => (settled ? open : open + 1), 0)
  }
  get partitions(): readonly number[] {
    return this.#inOrder.map(({ partition }) => partition)
  }
  /** Messages that are offered and not acknowledged. */
  get pending(): number {
    return this.#inOrder.reduce((pending, partition) => pending + partition.pending, 0)
  }
  /** How long acknowledgements may still come, at most. */
  waitMs(): number {
    return this.#inOrder.reduce((longest, partition) => Math.max(longest, partition.waitMs()), 0)
  }

  enqueue(request: WaitingRequest): void {
    const { maxWaitingRequests, deadlines, inTurn } = this.#options
    if (this.#queue.length > maxWaitingRequests) this.#queue = this.#queue.filter(({ settled }) => !settled)
    if (this.#queue.length > maxWaitingRequests) {
      request.answer(ownFailure('overloaded', `too many requests wait (limit ${maxWaitingRequests + 1})`, true))
      return
    }
    this.#queue.push(request)
    this.#serve()
    if (request.settled) return
    request.onGone = () => inTurn(() => this.#restIfIdle())
    deadlines.add(request)
  }

  /** Reads these partitions from now on. Those that it has read until now go on where they are. */
  assign(partitions: readonly number[]): void {
    for (const [partition, consumer] of this.#partitions) {
      if (partitions.includes(partition)) continue
      consumer.stop()
      this.#partitions.delete(partition)
    }
    for (const partition of partitions) {
      if (this.#partitions.has(partition)) continue
      this.#partitions.set(
        partition,
        this.#options.createPartition(partition, () => this.#serve())
      )
    }
    this.#inOrder = [...this.#partitions.values()].sort((one, other) => one.partition - other.partition)
    this.#serve()
  }

  /** Offers nothing. Requests wait, and acknowledgements are taken. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#serve()
  }

  ack(partition: number, offset: Offset): AckOutcome {
    return this.#partitions.get(partition)?.ack(offset) ?? 'notOffered'
  }

  giveBack(partition: number, record: KafkaRecord): void {
    this.#partitions.get(partition)?.giveBack(record)
    this.#serve()
  }

  /** Answers all requests that wait. */
  refuseWaiting(failure: Failure): void {
    const queue = this.#queue
    this.#queue = []
    for (const request of queue) {
      this.#options.deadlines.remove(request)
      request.answer(failure)
    }
  }

  /** Answers all requests that wait, and stops reading. */
  stop(failure: Failure): void {
    this.assign([])
    this.refuseWaiting(failure)
  }

  #serve(): void {
    if (this.#isServing || this.#isPaused) return
    this.#isServing = true
    for (let request = this.#first(); request; request = this.#first()) {
      // All of them, so that a partition that has much to offer does not keep the others from fetching.
      for (const partition of this.#inOrder) partition.want()
      const partition = this.#nextStaged()
      if (!partition) break
      this.#queue.shift()
      this.#lastServed = partition.partition
      this.#options.deadlines.remove(request)
      request.answer({ type: 'message', message: this.#offer(partition) })
    }
    this.#isServing = false
    this.#restIfIdle()
  }

  /** Fetches nothing more while no request waits. */
  #restIfIdle(): void {
    if (!this.#first()) for (const partition of this.#inOrder) partition.unwant()
  }

  /** The request that has waited longest and is still open. */
  #first(): WaitingRequest | undefined {
    while (this.#queue[0]?.settled) this.#queue.shift()
    return this.#queue[0]
  }

  #nextStaged(): PartitionConsumer | undefined {
    let lowest: PartitionConsumer | undefined
    for (const partition of this.#inOrder) {
      if (!partition.isStaged) continue
      if (partition.partition > this.#lastServed) return partition
      lowest ??= partition
    }
    return lowest
  }

  #offer(partition: PartitionConsumer): ConsumedMessage {
    const { groupId, topic, ack, giveBack, metrics } = this.#options
    const record = partition.take()
    const retries = partition.retriesOf(record.offset)
    metrics.count('groups', 'offered_messages')
    if (retries > 0) metrics.count('groups', 'retried_messages')
    const id = partition.partition
    return {
      ...record,
      groupId,
      topic,
      partition: id,
      retries,
      ack: () => ack(id, record.offset),
      giveBack: () => giveBack(id, record)
    }
  }
}
