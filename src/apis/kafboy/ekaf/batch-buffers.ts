import type { RecordFailure } from '../../../core/model.js'
import type { PendingProduce } from '../../../gateway/gateway.js'
import type { Content } from '../content.js'

/** A batch of this size is produced without waiting for more. */
const FULL_BATCH_BYTES = 1024 * 1024
/** Memory of a record beside its bytes. */
const RECORD_OVERHEAD_BYTES = 128

/** When a batch is full, and how long it may wait. */
export interface BatchLimits {
  readonly maxBufferRecords: number
  readonly bufferTtlMs: number
}

export interface BatchBuffersDeps {
  /** All batches together. */
  readonly maxBytes: number
  /** Receives the records of a batch and owns them from then on. They count until it calls `taken`. */
  readonly flush: (topic: string, records: readonly Content[], taken: () => void) => void
}

interface Batch {
  records: Content[]
  sizeBytes: number
  readonly timer: NodeJS.Timeout
  /** The batch is full or has waited long enough: it leaves as soon as the batch before it has been taken. */
  isDue: boolean
}

/**
 * Records of the batch routes, by topic, until there are enough of them or their time is over, whichever comes first.
 * A batch is handed on when the one before it of the same topic is taken. Only topics with records that wait take
 * memory.
 */
export class BatchBuffers {
  readonly #deps: BatchBuffersDeps
  readonly #byTopic = new Map<string, Batch>()
  /** Bytes of batches that have been handed on but not taken yet. */
  readonly #inHand = new Map<string, number>()
  #sizeBytes = 0
  #whenAllTaken: (() => void) | undefined

  constructor(deps: BatchBuffersDeps) {
    this.#deps = deps
  }

  /** Bytes of waiting records, bookkeeping included. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  recordsOf(topic: string): number {
    return this.#byTopic.get(topic)?.records.length ?? 0
  }

  /**
   * Takes records and copies their bytes.
   *
   * @returns how many records of the topic wait now; `undefined`: the memory is used up, and none was taken
   */
  add(topic: string, records: readonly Content[], limits: BatchLimits): number | undefined {
    const sizeBytes = sizeOf(records)
    if (sizeBytes > this.#capacityOf(topic)) return undefined
    const batch = this.#byTopic.get(topic) ?? this.#open(topic, limits.bufferTtlMs)
    for (const { key, value, headers } of records) {
      batch.records.push({ key: copied(key), value: copied(value), ...(headers && { headers }) })
    }
    batch.sizeBytes += sizeBytes
    this.#sizeBytes += sizeBytes
    const length = batch.records.length
    if (length >= limits.maxBufferRecords || batch.sizeBytes >= FULL_BATCH_BYTES) this.#flush(topic)
    return length
  }

  /** Produces all waiting records. */
  flushAll(): void {
    for (const topic of [...this.#byTopic.keys()]) this.#flush(topic)
  }

  /** Forgets what was not handed on. @returns how many records of which topics */
  close(): readonly { readonly topic: string; readonly records: number }[] {
    for (const { timer } of this.#byTopic.values()) clearTimeout(timer)
    const waiting = [...this.#byTopic].map(([topic, { records }]) => ({ topic, records: records.length }))
    this.#byTopic.clear()
    return waiting
  }

  /** Resolves when all batches that were handed on are taken, or the time is over. */
  async allTaken(timeoutMs: number): Promise<void> {
    if (this.#inHand.size === 0) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#whenAllTaken = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /**
   * While a batch of a topic was handed on but not taken yet, the topic may hold at most as much memory as it leaves
   * free.
   */
  #capacityOf(topic: string): number {
    const free = this.#deps.maxBytes - this.#sizeBytes
    const inHand = this.#inHand.get(topic)
    return inHand === undefined ? free : free - inHand - (this.#byTopic.get(topic)?.sizeBytes ?? 0)
  }

  #open(topic: string, ttlMs: number): Batch {
    const batch = { records: [], sizeBytes: 0, timer: setTimeout(() => this.#flush(topic), ttlMs), isDue: false }
    this.#byTopic.set(topic, batch)
    return batch
  }

  #flush(topic: string): void {
    const batch = this.#byTopic.get(topic)
    if (batch === undefined) return
    clearTimeout(batch.timer)
    batch.isDue = true
    if (this.#inHand.has(topic)) return
    this.#byTopic.delete(topic)
    this.#inHand.set(topic, batch.sizeBytes)
    this.#deps.flush(topic, batch.records, () => this.#taken(topic))
  }

  #taken(topic: string): void {
    this.#sizeBytes -= this.#inHand.get(topic)!
    this.#inHand.delete(topic)
    if (this.#byTopic.get(topic)?.isDue === true) this.#flush(topic)
    if (this.#inHand.size === 0) this.#whenAllTaken?.()
  }
}

function sizeOf(records: readonly Content[]): number {
  let sizeBytes = 0
  for (const { key, value, headers = [] } of records) {
    sizeBytes += lengthOf(key) + lengthOf(value) + RECORD_OVERHEAD_BYTES
    for (const header of headers) sizeBytes += header.key.length + (header.value?.length ?? 0)
  }
  return sizeBytes
}

const lengthOf = (bytes: Content['key']): number => (bytes === null ? 0 : Buffer.byteLength(bytes))

const copied = (bytes: Content['key']): Content['key'] =>
  bytes === null || typeof bytes === 'string' ? bytes : Buffer.from(bytes)

/** Interval at which a batch that was refused because a buffer was full is offered again. */
const RETRY_MS = 100

/** Records of a batch that the gateway has not taken. */
interface WaitingBatch {
  readonly topic: string
  records: number
}

interface BatchHandoverDeps {
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** Time for which records wait for a full buffer before they are given up. */
  readonly timeoutMs: number
  /** Hands records on in order, up to the first one that is refused because a buffer is full. */
  readonly produce: (
    topic: string,
    contents: readonly Content[],
    begun: (pendingProduce: PendingProduce) => void
  ) => void
  /** Called for records that were not taken in time. */
  readonly onGivenUp: (topic: string, failure: RecordFailure, records: number) => void
}

/**
 * Hands the records of batches on. The records were accepted before, so while a buffer is full they wait in order and
 * are not refused.
 */
export class BatchHandover {
  readonly #deps: BatchHandoverDeps
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #waiting = new Set<WaitingBatch>()
  #isClosed = false

  constructor(deps: BatchHandoverDeps) {
    this.#deps = deps
  }

  /** @param taken called when no record of the batch waits here any more, mostly at once */
  handOn(topic: string, contents: readonly Content[], taken: () => void): void {
    const waiting = { topic, records: contents.length }
    this.#waiting.add(waiting)
    this.#offer(waiting, contents, this.#deps.clock() + this.#deps.timeoutMs, () => {
      this.#waiting.delete(waiting)
      taken()
    })
  }

  /** Stops offering records. @returns what waits and is forgotten */
  close(): readonly WaitingBatch[] {
    this.#isClosed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    return [...this.#waiting].filter(({ records }) => records > 0)
  }

  #offer(waiting: WaitingBatch, contents: readonly Content[], until: number, over: () => void): void {
    const { topic } = waiting
    this.#deps.produce(topic, contents, pendingProduce => {
      const end = takenBefore(pendingProduce, contents.length)
      waiting.records = contents.length - end
      const rest = (): void => {
        if (this.#isClosed) return
        if (end === contents.length) over()
        else if (this.#deps.clock() >= until)
          this.#giveUp(topic, pendingProduce.refused![end]!, contents.length - end, over)
        else this.#after(RETRY_MS, () => this.#offer(waiting, contents.slice(end), until, over))
      }
      // The remaining records must not overtake records that already wait.
      if (pendingProduce.isWaiting === true) void pendingProduce.accepted().then(rest)
      else rest()
    })
  }

  #giveUp(topic: string, failure: RecordFailure, records: number, over: () => void): void {
    this.#deps.onGivenUp(topic, failure, records)
    over()
  }

  #after(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      action()
    }, delayMs)
    this.#timers.add(timer)
  }
}

/**
 * Number of records of a batch that were taken: all records before the first one that was refused because a buffer was
 * full.
 */
export function takenBefore({ refused }: Pick<PendingProduce, 'refused'>, records: number): number {
  const first = refused?.findIndex(failure => failure?.code === 'overloaded') ?? -1
  return first < 0 ? records : first
}
