import type { BatchOrigin, EpochStart, KafkaRecord, Offset, RecordBatch, RecordHeader } from '../core/model.js'
import type { OpenRecords } from './decompressed-memory.js'
import type { RecordSource } from './packed-records.js'
import { RecordFields } from './record-fields.js'

const noHeaders: readonly RecordHeader[] = Object.freeze([])
/** What the objects around the bytes of a batch cost, roughly. */
const OBJECT_BYTES = 300

/** What the records of one batch have in common. */
export interface BatchContext {
  /** They have been checked by `indexRecords`. */
  readonly source: RecordSource
  readonly baseOffset: Offset
  /** -1: unknown. */
  readonly leaderEpoch: number
  readonly origin: BatchOrigin
  readonly baseTimestampMs: number
  /** The time of all records where the topic uses LogAppendTime. */
  readonly logAppendTimeMs: number | undefined
}

/**
 * A view of the records of a fetched batch from index `from` to the last. Records are decoded when they are asked for.
 * Compressed records are decompressed again if their memory was needed meanwhile. Slices share the bytes.
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

  get leaderEpochs(): readonly EpochStart[] {
    const { baseOffset: offset, leaderEpoch } = this.#context
    return [{ offset, leaderEpoch }]
  }

  get origins(): readonly BatchOrigin[] {
    return [this.#context.origin]
  }

  /** Memory that this batch keeps alive: the whole batch, as it came, even if the view is a part of it. */
  get heapBytes(): number {
    return this.#source.heapBytes + OBJECT_BYTES
  }

  /** While a response is decoded: there are no records to deliver before `offset`. */
  extendTo(offset: Offset): void {
    this.#nextOffset = offset
  }

  at(index: number): KafkaRecord {
    if (!(index >= 0 && index < this.recordCount)) {
      throw new RangeError(`record ${index} of a batch of ${this.recordCount}`)
    }
    const { baseTimestampMs, logAppendTimeMs } = this.#context
    const opened = this.#source.opened ?? this.#source.open()
    const fields = new RecordFields(opened.records, opened.positions[this.#from + index]!)
    fields.varint()
    fields.skip(1)
    const timestampMs = baseTimestampMs + fields.varlong()
    fields.varint()
    return {
      offset: this.#offsetAt(opened, index),
      timestampMs: logAppendTimeMs ?? timestampMs,
      key: fields.readBytes(),
      value: fields.readBytes(),
      headers: readHeaders(fields)
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

/** Faster than a generator, which matters at a million records per second. */
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

function readHeaders(fields: RecordFields): readonly RecordHeader[] {
  const count = fields.varint()
  if (count === 0) return noHeaders
  const headers: RecordHeader[] = []
  for (let index = 0; index < count; index++) {
    const key = fields.readBytes()!.toString('utf8')
    headers.push({ key, value: fields.readBytes() })
  }
  return headers
}
