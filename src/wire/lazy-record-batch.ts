import type { KafkaRecord, Offset, RecordBatch, RecordHeader } from '../model.js'
import type { OpenRecords } from './decompressed-memory.js'
import type { RecordSource } from './packed-records.js'
import { readBytes, readVarint, readVarlong, seek, skip, tell } from './record-fields.js'

const noHeaders: readonly RecordHeader[] = Object.freeze([])
/** What the objects around the bytes of a batch cost, roughly. */
const OBJECT_BYTES = 300

/** What the records of one batch have in common. */
export interface BatchContext {
  /** They have been checked by `indexRecords`. */
  readonly source: RecordSource
  readonly baseOffset: Offset
  readonly baseTimestampMs: number
  /** The time of all records where the topic uses LogAppendTime. */
  readonly logAppendTimeMs: number | undefined
}

/**
 * A view of some records of a fetched batch, those from index `from` to the last. Nothing is decoded before it is asked
 * for, and compressed records are decompressed again when they are read and their memory was needed meanwhile. Slices
 * share the bytes.
 */
export class LazyRecordBatch implements RecordBatch {
  readonly #context: BatchContext
  readonly #source: RecordSource
  readonly #from: number
  #nextOffset: Offset
  readonly offset: Offset
  readonly maxOffset: Offset
  readonly recordCount: number
  readonly sizeBytes: number

  constructor(context: BatchContext, from: number, nextOffset: Offset) {
    const opened = context.source.open()
    const { positions } = opened
    this.#context = context
    this.#source = context.source
    this.#from = from
    this.#nextOffset = nextOffset
    this.recordCount = positions.length - 1 - from
    this.offset = this.#offsetAt(opened, 0)
    this.maxOffset = this.#offsetAt(opened, this.recordCount - 1)
    this.sizeBytes = positions[positions.length - 1]! - positions[from]!
  }

  get nextOffset(): Offset {
    return this.#nextOffset
  }

  /** Memory that lives as long as this batch, records before the view included: of compressed ones the bytes as they came. */
  get heapBytes(): number {
    return this.#source.heapBytes + OBJECT_BYTES
  }

  /** While a response is decoded: nothing deliverable lies before `offset` either. */
  extendTo(offset: Offset): void {
    this.#nextOffset = offset
  }

  at(index: number): KafkaRecord {
    if (!(index >= 0 && index < this.recordCount)) {
      throw new RangeError(`record ${index} of a batch of ${this.recordCount}`)
    }
    const { baseTimestampMs, logAppendTimeMs } = this.#context
    const opened = this.#source.opened ?? this.#source.open()
    const { records } = opened
    seek(opened.positions[this.#from + index]!)
    readVarint(records)
    skip(1)
    const timestampMs = baseTimestampMs + readVarlong(records)
    readVarint(records)
    return {
      offset: this.#offsetAt(opened, index),
      timestampMs: logAppendTimeMs ?? timestampMs,
      key: readBytes(records),
      value: readBytes(records),
      headers: records[tell()] === 0 ? noHeaders : readHeaders(records)
    }
  }

  [Symbol.iterator](): Iterator<KafkaRecord> {
    this.#source.touch()
    return new RecordIterator(this)
  }

  sliceFrom(offset: Offset): RecordBatch | undefined {
    if (offset === this.offset) return this
    if (offset < this.offset || offset > this.maxOffset) return undefined
    const opened = this.#source.open()
    let low = 0
    let high = this.recordCount - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#offsetAt(opened, middle) < offset) low = middle + 1
      else high = middle
    }
    return new LazyRecordBatch(this.#context, this.#from + low, this.#nextOffset)
  }

  #offsetAt({ offsetDeltas }: OpenRecords, index: number): Offset {
    const at = this.#from + index
    return this.#context.baseOffset + (offsetDeltas === undefined ? at : offsetDeltas[at]!)
  }
}

/** Faster than a generator, which matters a million times a second. */
class RecordIterator implements Iterator<KafkaRecord> {
  readonly #batch: LazyRecordBatch
  #next = 0

  constructor(batch: LazyRecordBatch) {
    this.#batch = batch
  }

  next(): IteratorResult<KafkaRecord> {
    if (this.#next >= this.#batch.recordCount) return { done: true, value: undefined }
    return { done: false, value: this.#batch.at(this.#next++) }
  }
}

function readHeaders(bytes: Buffer): readonly RecordHeader[] {
  const headers: RecordHeader[] = []
  for (let count = readVarint(bytes); count > 0; count--) {
    const key = readBytes(bytes)!.toString('utf8')
    headers.push({ key, value: readBytes(bytes) })
  }
  return headers
}
