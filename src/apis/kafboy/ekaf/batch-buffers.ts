import type { Content } from '../content.js'

/** A batch of this size is produced without waiting for more. */
const FULL_BATCH_BYTES = 1024 * 1024
/** What a record costs beside its bytes. */
const RECORD_OVERHEAD_BYTES = 128

/** When a batch is full, and when its time is over. */
export interface BatchLimits {
  readonly maxBufferRecords: number
  readonly bufferTtlMs: number
}

export interface BatchBuffersDeps {
  /** All batches together. */
  readonly maxBytes: number
  /** Takes the records of a batch, which the caller then owns; they count until it has called `taken`. */
  readonly flush: (topic: string, records: readonly Content[], taken: () => void) => void
}

interface Batch {
  records: Content[]
  sizeBytes: number
  readonly timer: NodeJS.Timeout
  /** Its time is over, or it is full: it goes as soon as the batch before it is taken. */
  isDue: boolean
}

/**
 * Records of the batch routes, by topic, until there are enough of them or their time is over, whichever comes first.
 * A batch is handed on when the one before it of the same topic is taken. Only topics with records that wait take memory.
 */
export class BatchBuffers {
  readonly #deps: BatchBuffersDeps
  readonly #byTopic = new Map<string, Batch>()
  /** Bytes of batches that are handed on and not taken yet. */
  readonly #inHand = new Map<string, number>()
  #sizeBytes = 0
  #whenAllTaken: (() => void) | undefined

  constructor(deps: BatchBuffersDeps) {
    this.#deps = deps
  }

  /** Bytes that wait, bookkeeping included. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  recordsOf(topic: string): number {
    return this.#byTopic.get(topic)?.records.length ?? 0
  }

  /**
   * Takes records and copies their bytes.
   *
   * @returns how many records of the topic wait now; `undefined`: there is no room, and none was taken
   */
  add(topic: string, records: readonly Content[], limits: BatchLimits): number | undefined {
    const sizeBytes = sizeOf(records)
    if (sizeBytes > this.#capacityOf(topic)) return undefined
    const batch = this.#byTopic.get(topic) ?? this.#open(topic, limits.bufferTtlMs)
    for (const { key, value } of records) batch.records.push({ key: copied(key), value: copied(value) })
    batch.sizeBytes += sizeBytes
    this.#sizeBytes += sizeBytes
    const length = batch.records.length
    if (length >= limits.maxBufferRecords || batch.sizeBytes >= FULL_BATCH_BYTES) this.#flush(topic)
    return length
  }

  /** Produces everything that waits. */
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

  /** A topic that does not get on may hold no more than it leaves to the others. */
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
  for (const { key, value } of records) sizeBytes += lengthOf(key) + lengthOf(value) + RECORD_OVERHEAD_BYTES
  return sizeBytes
}

const lengthOf = (bytes: Content['key']): number => (bytes === null ? 0 : Buffer.byteLength(bytes))

const copied = (bytes: Content['key']): Content['key'] =>
  bytes === null || typeof bytes === 'string' ? bytes : Buffer.from(bytes)
