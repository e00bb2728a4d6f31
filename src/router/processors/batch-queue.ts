import type { OpenRequest } from '../requests/open-requests.js'

export type Batch = OpenRequest<'produceBatch'>

/** The batches of one call, at most one per partition. */
export interface BatchesCall {
  readonly batches: readonly Batch[]
  readonly sizeBytes: number
  /** When the call was sent. `undefined` until then. */
  sentAt: number | undefined
}

// A call of this many batches, and its answer, are each handled within a few milliseconds.
const MOST_PER_CALL = 2_000

/** Says for each waiting partition whether it belongs to the same call as the first one. */
export type CallOf = (first: string) => (key: string) => boolean

/** Batches of each partition in arrival order. Partitions take turns. */
export class BatchQueue {
  /** The first batch of each partition. */
  readonly #first = new Map<string, Batch>()
  /** The further batches of each partition. Most partitions have none. */
  readonly #behind = new Map<string, Batch[]>()
  readonly #limit: RequestLimit
  readonly #callOf: CallOf

  constructor(limit: RequestLimit, callOf: CallOf = () => () => true) {
    this.#limit = limit
    this.#callOf = callOf
  }

  get isEmpty(): boolean {
    return this.#first.size === 0
  }

  /**
   * Adds a batch, and drops a recalled batch of the same partition. Otherwise copies would collect while a call is in
   * flight for long: records of a waiting batch may be withdrawn one after another, each time with a new copy of its bytes.
   */
  add(batch: Batch): void {
    const { key } = batch
    const first = this.#first.get(key)
    if (first === undefined) {
      this.#first.set(key, batch)
      return
    }
    const [next, ...behind] = [first, ...(this.#behind.get(key) ?? []), batch].filter(({ settled }) => !settled)
    this.#first.set(key, next ?? batch)
    if (behind.length > 0) this.#behind.set(key, behind)
    else this.#behind.delete(key)
  }

  takeCall(): BatchesCall | undefined {
    const batches: Batch[] = []
    const next: Batch[] = []
    let left = 0
    let bytes = 0
    let isOfCall: ReturnType<CallOf> | undefined
    for (const first of this.#first.values()) {
      const { key } = first
      if (batches.length >= MOST_PER_CALL) {
        left++
        break
      }
      const batch = this.#open(key, first)
      if (batch === undefined) {
        this.#first.delete(key)
        continue
      }
      // The one before it may have been dropped.
      if (batch !== first) this.#first.set(key, batch)
      isOfCall ??= this.#callOf(key)
      if (!isOfCall(key)) {
        left++
        continue
      }
      const size = batch.request.bytes.length
      if (batches.length > 0 && bytes + size > this.#limit.bytes) {
        left++
        break
      }
      const following = this.#takeBehind(key)
      if (following) next.push(following)
      batches.push(batch)
      bytes += size
    }
    if (left === 0) this.#first.clear()
    else for (const { key } of batches) this.#first.delete(key)
    // The next batches of served partitions come after the batches of all other partitions.
    for (const batch of next) this.#first.set(batch.key, batch)
    return batches.length > 0 ? { batches, sizeBytes: bytes, sentAt: undefined } : undefined
  }

  /** The first batch of the partition whose time is not over yet. */
  #open(key: string, first: Batch): Batch | undefined {
    let batch: Batch | undefined = first
    while (batch?.settled) batch = this.#takeBehind(key)
    return batch
  }

  #takeBehind(key: string): Batch | undefined {
    if (this.#behind.size === 0) return undefined
    const behind = this.#behind.get(key)
    const batch = behind?.shift()
    if (behind?.length === 0) this.#behind.delete(key)
    return batch
  }

  drain(): Batch[] {
    const batches = [...this.#first].flatMap(([key, first]) => [first, ...(this.#behind.get(key) ?? [])])
    this.#first.clear()
    this.#behind.clear()
    return batches.filter(batch => !batch.settled)
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
