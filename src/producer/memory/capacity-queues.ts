import type { RecordFailure } from '../../core/model.js'
import { overheadOf } from './batch.js'
import type { PartitionProducer } from './partition-producer.js'
import { type Arrival, ownCopyOf, roughSizeOf } from './waiting-records.js'

interface Queue {
  arrivals: Arrival[]
  bytes: number
}

/**
 * Records that wait for room in their partition, in the order in which they came. They are no part of the buffer but have
 * memory of their own beside it, of which a partition may take no more than it leaves to the others.
 */
export class CapacityQueues {
  readonly #maxBytes: number
  readonly #onEntered: (arrival: Arrival) => void
  readonly #queues = new Map<PartitionProducer, Queue>()
  #bytes = 0
  #isServingSoon = false

  /** @param onEntered told of each record that has waited and was taken */
  constructor(maxBytes: number, onEntered: (arrival: Arrival) => void) {
    this.#maxBytes = maxBytes
    this.#onEntered = onEntered
  }

  get isEmpty(): boolean {
    return this.#queues.size === 0
  }

  /** Copies the record. False: there is no room to wait in. */
  add(producer: PartitionProducer, arrival: Arrival): boolean {
    const bytes = sizeOf(arrival)
    const queue = this.#queues.get(producer) ?? { arrivals: [], bytes: 0 }
    if (queue.bytes + bytes > this.#maxBytes - this.#bytes) return false
    this.#queues.set(producer, queue)
    queue.arrivals.push({ ...arrival, record: ownCopyOf(arrival.record) })
    this.#hold(queue, bytes)
    producer.charge.isWaitedFor = true
    arrival.pendingProduce.wait()
    return true
  }

  /** There may be room. Called often. */
  freed(): void {
    if (this.#queues.size === 0 || this.#isServingSoon) return
    this.#isServingSoon = true
    setImmediate(() => {
      this.#isServingSoon = false
      this.#serve()
    })
  }

  /** Puts into the partitions what has room there now. */
  #serve(): void {
    for (const [producer, queue] of this.#queues) {
      const stays = queue.arrivals.findIndex(arrival => !this.#mayEnter(producer, arrival))
      const entered = stays < 0 ? queue.arrivals.length : stays
      if (entered > 0) this.#keep(producer, queue, queue.arrivals.slice(entered))
    }
  }

  #mayEnter(producer: PartitionProducer, arrival: Arrival): boolean {
    const { record, timestampMs, pendingProduce, index } = arrival
    if (!producer.charge.allowsNext(roughSizeOf(record), pendingProduce)) return false
    producer.append(record, timestampMs, pendingProduce, index)
    this.#onEntered(arrival)
    this.#left(producer, arrival)
    return true
  }

  /** Puts into the partitions what has room, and refuses what has waited long enough. @returns how many were refused */
  tick(nowMs: number, failureOf: (producer: PartitionProducer, bytes: number) => RecordFailure): number {
    this.#serve()
    let refused = 0
    for (const [producer, queue] of this.#queues) {
      const over = queue.arrivals.filter(({ pendingProduce }) => pendingProduce.capacityUntil <= nowMs)
      if (over.length === 0) continue
      refused += this.#refuse(producer, over, failureOf(producer, roughSizeOf(over[0]!.record)))
      const staying = queue.arrivals.filter(({ pendingProduce }) => pendingProduce.capacityUntil > nowMs)
      this.#keep(producer, queue, staying)
    }
    return refused
  }

  /** Refuses all that wait for a partition. @returns how many */
  close(producer: PartitionProducer, failure: RecordFailure): number {
    const queue = this.#queues.get(producer)
    if (queue === undefined) return 0
    const refused = this.#refuse(producer, queue.arrivals, failure)
    this.#keep(producer, queue, [])
    return refused
  }

  #refuse(producer: PartitionProducer, arrivals: readonly Arrival[], failure: RecordFailure): number {
    for (const arrival of arrivals) {
      arrival.pendingProduce.refuseLate(arrival.index, failure, arrival.record.topic)
      this.#left(producer, arrival)
    }
    return arrivals.length
  }

  #left(producer: PartitionProducer, arrival: Arrival): void {
    this.#hold(this.#queues.get(producer)!, -sizeOf(arrival))
    arrival.pendingProduce.waited()
  }

  #keep(producer: PartitionProducer, queue: Queue, arrivals: Arrival[]): void {
    queue.arrivals = arrivals
    if (arrivals.length > 0) return
    producer.charge.isWaitedFor = false
    this.#queues.delete(producer)
  }

  #hold(queue: Queue, bytes: number): void {
    queue.bytes += bytes
    this.#bytes += bytes
  }
}

const sizeOf = ({ record, index }: Arrival): number => roughSizeOf(record) + overheadOf(index)
