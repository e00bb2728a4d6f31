import { Fifo } from '../../core/fifo.js'
import { type OpenRequest, stillOpen } from '../requests/open-requests.js'
import type { PartitionOfRequest } from '../requests/partition.js'

export type BatchRequest = OpenRequest<'produceBatch'>

/** The batches of one call, at most one per partition; those of a topic are next to each other. */
export interface BatchesCall {
  /** The batches, without those that were recalled before the call was sent. The answer has them in the same order. */
  batches: readonly BatchRequest[]
  /** The transaction of all batches; `undefined`: none. */
  readonly transactionalId?: string | undefined
  readonly sizeBytes: number
  /** When the call was sent. `undefined` until then. */
  sentAt: number | undefined
}

// A call of this many batches, and its answer, are each handled within a few milliseconds.
const MOST_PER_CALL = 2_000

/** Says for each partition that waits in a line whether it belongs to the same call as the first one. */
export type CallOf = (first: PartitionOfRequest) => (partition: PartitionOfRequest) => boolean

/** Recalled batches may wait in a line until there are so many, and as many as others. */
const MOST_RECALLED = 16

/** Produce calls are numbered, so that a partition tells whether it has a batch in a call. */
let calls = 0

/** Batches of partitions in arrival order. Each call has at most one batch of a partition, and partitions take turns. */
export class BatchLine {
  readonly #batches = new Fifo<BatchRequest>()
  /** When there are so many, recalled ones are dropped. */
  #tidyAt = MOST_RECALLED
  readonly #limit: RequestLimit
  readonly #callOf: CallOf

  constructor(limit: RequestLimit, callOf: CallOf = () => () => true) {
    this.#limit = limit
    this.#callOf = callOf
  }

  get isEmpty(): boolean {
    return this.#batches.size === 0
  }

  /** Records of a waiting batch may be withdrawn one after another, each time with a new batch in place of a recalled one. */
  add(batch: BatchRequest): void {
    if (this.#batches.size >= this.#tidyAt) {
      this.#batches.putBack(this.drain())
      this.#tidyAt = 2 * this.#batches.size + MOST_RECALLED
    }
    this.#batches.push(batch)
  }

  takeCall(): BatchesCall | undefined {
    const call = ++calls
    const batches = new Array<BatchRequest>(Math.min(this.#batches.size, MOST_PER_CALL))
    const passed: BatchRequest[] = []
    const later: BatchRequest[] = []
    let count = 0
    let isByTopic = true
    let sizeBytes = 0
    let isOfCall: ReturnType<CallOf> | undefined
    let transactionalId: string | undefined
    let keys: Set<string> | undefined
    /** Place of the first batch of each topic. */
    let places: Map<string, number> | undefined
    for (; count < MOST_PER_CALL && this.#batches.size > 0; this.#batches.shift()) {
      const batch = this.#batches.first!
      if (batch.settled) continue
      const partition = batch.partition!
      if (isOfCall === undefined) {
        isOfCall = this.#callOf(partition)
        transactionalId = batch.request.transactionalId
      }
      // Its topic was found again, so there may be another object for the same partition.
      if (partition.isForgotten && keys === undefined) {
        const before = batches.slice(0, count)
        keys = new Set(before.map(({ key }) => key))
        places = new Map(before.map(({ partition }) => [partition!.topic, partition!.of.place]))
      }
      const size = batch.request.sizeBytes ?? batch.request.bytes.length
      if (batch.request.transactionalId !== transactionalId || !isOfCall(partition)) passed.push(batch)
      else if (partition.call === call || keys?.has(partition.key)) later.push(batch)
      else if (count > 0 && sizeBytes + size > this.#limit.bytes) break
      else {
        const { of, topic } = partition
        partition.call = call
        if (batches[of.place]?.partition?.of !== of) {
          of.place = places?.get(topic) ?? count
          if (of.place === count) places?.set(topic, count)
        }
        if (of.place < count && batches[count - 1]!.partition!.topic !== topic) isByTopic = false
        batches[count++] = batch
        keys?.add(partition.key)
        sizeBytes += size
      }
    }
    batches.length = count
    this.#batches.putBack(passed)
    // The next batches of served partitions come after the batches of all other partitions.
    for (const batch of later) this.#batches.push(batch)
    if (!isByTopic) batches.sort((one, other) => one.partition!.of.place - other.partition!.of.place)
    return count > 0 ? { batches, transactionalId, sizeBytes, sentAt: undefined } : undefined
  }

  drain(): BatchRequest[] {
    return stillOpen(this.#batches.takeAll())
  }
}

/**
 * Initial and maximum number of full calls that must succeed before a larger call is tried. The number doubles with
 * every failure.
 */
const CALLS_TO_GROW = 16
const MOST_CALLS_TO_GROW = 4_096

/**
 * Limit of the bytes of one produce request to a broker. A broker closes the connection without an answer when a
 * request is larger than its `socket.request.max.bytes`. Clients cannot ask for this setting, so the limit here is
 * halved when a call of several batches ends like that. It doubles again after a number of successful calls. This
 * number grows with each failure.
 */
export class RequestLimit {
  readonly #maxBytes: number
  #bytes: number
  #goodCalls = 0
  #callsToGrow = CALLS_TO_GROW

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
    this.#bytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The connection was closed without an answer to a call of several batches. */
  connectionLost(callBytes: number): void {
    if (this.#bytes < this.#maxBytes) this.#callsToGrow = Math.min(MOST_CALLS_TO_GROW, this.#callsToGrow * 2)
    this.#bytes = Math.max(1, Math.min(this.#bytes, callBytes) >> 1)
    this.#goodCalls = 0
  }

  /** Counts a successful call. Only calls that used more than half of the limit count. */
  answered(callBytes: number): void {
    if (this.#bytes === this.#maxBytes || callBytes <= this.#bytes >> 1) return
    if (++this.#goodCalls < this.#callsToGrow) return
    this.#bytes = Math.min(this.#maxBytes, this.#bytes * 2)
    this.#goodCalls = 0
  }
}
