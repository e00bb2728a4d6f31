import type { KafkaRecord, Offset, RecordBatch, RecordHeader } from '../model.js'
import { readBytes, readVarint, readVarlong, seek, skip, tell } from './record-fields.js'
import type { RecordIndex } from './record-index.js'

const noHeaders: readonly RecordHeader[] = Object.freeze([])
/** What the objects around the bytes of a batch cost, roughly. */
const OBJECT_BYTES = 300

/** What the records of one batch have in common. */
export interface BatchContext {
  /** The uncompressed records, checked by `indexRecords`. */
  readonly records: Buffer
  readonly index: RecordIndex
  readonly baseOffset: Offset
  readonly baseTimestampMs: number
  /** The time of all records where the topic uses LogAppendTime. */
  readonly logAppendTimeMs: number | undefined
}

/**
 * A view of some records of a fetched batch, those from index `from` to the last. Nothing is decoded before it is asked
 * for; slices share the bytes.
 */
export class LazyRecordBatch implements RecordBatch {
  readonly #context: BatchContext
  readonly #from: number
  #nextOffset: Offset
  readonly offset: Offset
  readonly maxOffset: Offset
  readonly recordCount: number
  readonly sizeBytes: number

  constructor(context: BatchContext, from: number, nextOffset: Offset) {
    const { positions } = context.index
    this.#context = context
    this.#from = from
    this.#nextOffset = nextOffset
    this.recordCount = positions.length - 1 - from
    this.offset = this.#offsetAt(0)
    this.maxOffset = this.#offsetAt(this.recordCount - 1)
    this.sizeBytes = positions[positions.length - 1]! - positions[from]!
  }

  get nextOffset(): Offset {
    return this.#nextOffset
  }

  /** Memory that lives as long as this batch, records before the view included. */
  get heapBytes(): number {
    const { records, index } = this.#context
    return records.length + index.positions.byteLength + (index.offsetDeltas?.byteLength ?? 0) + OBJECT_BYTES
  }

  /** While a response is decoded: nothing deliverable lies before `offset` either. */
  extendTo(offset: Offset): void {
    this.#nextOffset = offset
  }

  at(index: number): KafkaRecord {
    if (!(index >= 0 && index < this.recordCount)) {
      throw new RangeError(`record ${index} of a batch of ${this.recordCount}`)
    }
    const { records, index: recordIndex, baseTimestampMs, logAppendTimeMs } = this.#context
    seek(recordIndex.positions[this.#from + index]!)
    readVarint(records)
    skip(1)
    const timestampMs = baseTimestampMs + readVarlong(records)
    readVarint(records)
    return {
      offset: this.#offsetAt(index),
      timestampMs: logAppendTimeMs ?? timestampMs,
      key: readBytes(records),
      value: readBytes(records),
      headers: records[tell()] === 0 ? noHeaders : readHeaders(records)
    }
  }

  [Symbol.iterator](): Iterator<KafkaRecord> {
    return new RecordIterator(this)
  }

  sliceFrom(offset: Offset): RecordBatch | undefined {
    if (offset === this.offset) return this
    if (offset < this.offset || offset > this.maxOffset) return undefined
    let low = 0
    let high = this.recordCount - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#offsetAt(middle) < offset) low = middle + 1
      else high = middle
    }
    return new LazyRecordBatch(this.#context, this.#from + low, this.#nextOffset)
  }

  #offsetAt(index: number): Offset {
    const { index: recordIndex, baseOffset } = this.#context
    const at = this.#from + index
    return baseOffset + (recordIndex.offsetDeltas === undefined ? at : recordIndex.offsetDeltas[at]!)
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
