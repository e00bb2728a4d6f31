import { type OpenRequest, stillOpen } from '../requests/open-requests.js'

export type BatchRequest = OpenRequest<'produceBatch'>

/** The batches of one call, at most one per partition. */
export interface BatchesCall {
  readonly batches: readonly BatchRequest[]
  /** The transaction of all batches; `undefined`: none. */
  readonly transactionalId?: string | undefined
  readonly sizeBytes: number
  /** When the call was sent. `undefined` until then. */
  sentAt: number | undefined
}

// A call of this many batches, and its answer, are each handled within a few milliseconds.
const MOST_PER_CALL = 2_000

/** Says for each waiting partition whether it belongs to the same call as the first one. */
export type CallOf = (first: string) => (key: string) => boolean

/** Recalled batches may wait in a queue until there are so many, and as many as others. */
const MOST_RECALLED = 16

/** Produce calls are numbered, so that a partition tells whether it has a batch in a call. */
let calls = 0

/** Batches of partitions in arrival order. Each call has at most one batch of a partition, and partitions take turns. */
export class BatchQueue {
  #batches: BatchRequest[] = []
  /** When there are so many, recalled ones are dropped. */
  #tidyAt = MOST_RECALLED
  readonly #limit: RequestLimit
  readonly #callOf: CallOf

  constructor(limit: RequestLimit, callOf: CallOf = () => () => true) {
    this.#limit = limit
    this.#callOf = callOf
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0
  }

  /** Records of a waiting batch may be withdrawn one after another, each time with a new batch in place of a recalled one. */
  add(batch: BatchRequest): void {
    if (this.#batches.length >= this.#tidyAt) {
      this.#batches = stillOpen(this.#batches)
      this.#tidyAt = 2 * this.#batches.length + MOST_RECALLED
    }
    this.#batches.push(batch)
  }

  takeCall(): BatchesCall | undefined {
    const call = ++calls
    const batches: BatchRequest[] = []
    const passed: BatchRequest[] = []
    const later: BatchRequest[] = []
    let sizeBytes = 0
    let isOfCall: ReturnType<CallOf> | undefined
    let transactionalId: string | undefined
    let at = 0
    for (; at < this.#batches.length && batches.length < MOST_PER_CALL; at++) {
      const batch = this.#batches[at]!
      if (batch.settled) continue
      const partition = batch.partition!
      if (isOfCall === undefined) {
        isOfCall = this.#callOf(partition.key)
        transactionalId = batch.request.transactionalId
      }
      const size = batch.request.sizeBytes ?? batch.request.bytes.length
      if (batch.request.transactionalId !== transactionalId || !isOfCall(partition.key)) passed.push(batch)
      else if (partition.call === call) later.push(batch)
      else if (batches.length > 0 && sizeBytes + size > this.#limit.bytes) break
      else {
        partition.call = call
        batches.push(batch)
        sizeBytes += size
      }
    }
    // The next batches of served partitions come after the batches of all other partitions.
    this.#batches = passed.concat(this.#batches.slice(at), later)
    return batches.length > 0 ? { batches, transactionalId, sizeBytes, sentAt: undefined } : undefined
  }

  drain(): BatchRequest[] {
    const batches = stillOpen(this.#batches)
    this.#batches = []
    return batches
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
