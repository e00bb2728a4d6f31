import type { BatchOrigin, EpochStart, KafkaRecord, Offset, RecordBatch } from '../core/model.js'
import type { RecordSource } from './packed-records.js'
import { type BatchTimes, type OpenRecords, readRecord } from './record-reader.js'

/** Approximate memory of the objects of a batch besides its bytes. */
const OBJECT_BYTES = 300

/** The part of a batch that its views share. */
export interface BatchContext extends BatchTimes {
  /** The records, which `indexRecords` has checked. */
  readonly source: RecordSource
  readonly baseOffset: Offset
  /** -1: unknown. */
  readonly leaderEpoch: number
  readonly origin: BatchOrigin
}

/**
 * A view of the records of a fetched batch, from index `from` to the last one. A record is decoded when it is read.
 * Compressed records are decompressed again if they were dropped. Slices share the bytes.
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

  /** Memory of the whole fetched batch, which even a slice keeps alive. */
  get heapBytes(): number {
    return this.#source.heapBytes + OBJECT_BYTES
  }

  /** Sets the offset after this batch to the offset of the next batch. Called while a response is decoded. */
  extendTo(offset: Offset): void {
    this.#nextOffset = offset
  }

  at(index: number): KafkaRecord {
    checkIndex(index, this.recordCount)
    const opened = this.#source.opened ?? this.#source.open()
    return readRecord(opened, this.#from + index, this.#offsetAt(opened, index), this.#context)
  }

  [Symbol.iterator](): Iterator<KafkaRecord> {
    this.#source.touch()
    return new RecordIterator(this)
  }

  sliceFrom(offset: Offset): RecordBatch | undefined {
    if (offset === this.offset) return this
    if (offset < this.offset || offset > this.maxOffset) return undefined
    const opened = this.#source.open()
    const hasHoles = opened.offsetDeltas !== undefined
    const first = hasHoles
      ? firstWhere(this.recordCount, index => this.#offsetAt(opened, index) >= offset)
      : offset - this.offset
    return new LazyRecordBatch(this.#context, this.#from + first, this.#nextOffset)
  }

  #offsetAt({ offsetDeltas }: OpenRecords, index: number): Offset {
    const at = this.#from + index
    return this.#context.baseOffset + (offsetDeltas === undefined ? at : offsetDeltas[at]!)
  }
}

/** This is a class, because a generator is slower, which matters at a million records per second. */
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

/**
 * Joins batches of one partition in offset order without copying bytes. A single batch is returned as it is. Gaps between batches
 * come from compaction and are allowed.
 *
 * @throws RangeError when there is no batch, or when two batches overlap
 */
export function concatBatches(batches: readonly RecordBatch[]): RecordBatch {
  const parts = batches.flatMap(batch => (batch instanceof JoinedRecordBatch ? batch.parts : [batch]))
  if (parts.length === 0) throw new RangeError('there is no batch to join')
  return parts.length === 1 ? parts[0]! : new JoinedRecordBatch(parts, sumsOf(parts), 0)
}

/**
 * Totals before each of the joined batches; the last place has the total of all. Slices share these numbers, which pin no bytes.
 */
interface Sums {
  readonly records: readonly number[]
  readonly sizeBytes: readonly number[]
  readonly heapBytes: readonly number[]
}

/** @throws RangeError when two batches overlap */
function sumsOf(parts: readonly RecordBatch[]): Sums {
  const records = [0]
  const sizeBytes = [0]
  const heapBytes = [0]
  for (let at = 0; at < parts.length; at++) {
    const part = parts[at]!
    const before = parts[at - 1]
    if (before && part.offset < before.nextOffset) {
      throw new RangeError(
        `a batch at offset ${part.offset} overlaps the batch before it, which ends at ${before.nextOffset}`
      )
    }
    records.push(records[at]! + part.recordCount)
    sizeBytes.push(sizeBytes[at]! + part.sizeBytes)
    heapBytes.push(heapBytes[at]! + (part.heapBytes ?? part.sizeBytes))
  }
  return { records, sizeBytes, heapBytes }
}

class JoinedRecordBatch implements RecordBatch {
  readonly parts: readonly RecordBatch[]
  readonly #sums: Sums
  /** The place of the first part in `#sums`. That part may be a slice; all others are whole. */
  readonly #first: number
  /** The part of the record that was read last: most are read in order. */
  #part = 0
  readonly offset: Offset
  readonly maxOffset: Offset
  readonly nextOffset: Offset
  readonly recordCount: number
  readonly sizeBytes: number

  constructor(parts: readonly RecordBatch[], sums: Sums, first: number) {
    const [head, last] = [parts[0]!, parts[parts.length - 1]!]
    this.parts = parts
    this.#sums = sums
    this.#first = first
    this.offset = head.offset
    this.maxOffset = last.maxOffset
    this.nextOffset = last.nextOffset
    this.recordCount = head.recordCount + this.#behindHead(sums.records)
    this.sizeBytes = head.sizeBytes + this.#behindHead(sums.sizeBytes)
  }

  get heapBytes(): number {
    const [head] = this.parts
    return (head!.heapBytes ?? head!.sizeBytes) + this.#behindHead(this.#sums.heapBytes)
  }

  /** One entry for each change of the epoch. */
  get leaderEpochs(): readonly EpochStart[] {
    const starts: EpochStart[] = []
    for (const { leaderEpochs = [] } of this.parts) {
      for (const start of leaderEpochs) if (start.leaderEpoch !== starts.at(-1)?.leaderEpoch) starts.push(start)
    }
    return starts
  }

  get origins(): readonly BatchOrigin[] {
    return this.parts.flatMap(({ origins = [] }) => origins)
  }

  at(index: number): KafkaRecord {
    checkIndex(index, this.recordCount)
    const { records } = this.#sums
    const head = this.parts[0]!
    if (index < head.recordCount) return head.at(index)
    const inAll = index - head.recordCount + records[this.#first + 1]!
    const isIn = (part: number): boolean =>
      records[this.#first + part]! <= inAll && inAll < records[this.#first + part + 1]!
    if (!isIn(this.#part)) this.#part = firstWhere(this.parts.length, at => records[this.#first + at]! > inAll) - 1
    return this.parts[this.#part]!.at(inAll - records[this.#first + this.#part]!)
  }

  [Symbol.iterator](): Iterator<KafkaRecord> {
    return new JoinedIterator(this.parts)
  }

  sliceFrom(offset: Offset): RecordBatch | undefined {
    if (offset === this.offset) return this
    if (offset < this.offset || offset > this.maxOffset) return undefined
    const { parts } = this
    const at = firstWhere(parts.length, part => parts[part]!.maxOffset >= offset)
    const part = parts[at]!
    // An offset in a hole between two parts is answered from the next part on.
    const head = offset <= part.offset ? part : part.sliceFrom(offset)!
    if (at === parts.length - 1) return head
    const rest = parts.slice(at)
    rest[0] = head
    return new JoinedRecordBatch(rest, this.#sums, this.#first + at)
  }

  #behindHead(sums: readonly number[]): number {
    return sums[this.#first + this.parts.length]! - sums[this.#first + 1]!
  }
}

/** Reads the parts one after another. This is a class for the same reason as {@link RecordIterator}. */
class JoinedIterator implements Iterator<KafkaRecord> {
  readonly #parts: readonly RecordBatch[]
  #next = 0
  #records: Iterator<KafkaRecord> | undefined

  constructor(parts: readonly RecordBatch[]) {
    this.#parts = parts
  }

  next(): IteratorResult<KafkaRecord> {
    for (;;) {
      const result = this.#records?.next()
      if (result !== undefined && result.done !== true) return result
      if (this.#next >= this.#parts.length) return { done: true, value: undefined }
      this.#records = this.#parts[this.#next++]![Symbol.iterator]()
    }
  }
}

/** Binary search: the first index below `count` for which `holds` is true, else `count`. `holds` stays true from that index on. */
function checkIndex(index: number, recordCount: number): void {
  if (!(index >= 0 && index < recordCount)) throw new RangeError(`record ${index} of a batch of ${recordCount}`)
}

function firstWhere(count: number, holds: (index: number) => boolean): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
