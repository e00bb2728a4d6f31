import type { KafkaRecord, Offset, RecordBatch } from '../../src/core/model.js'

/** Bytes an entry of an old message set costs besides its payload; Castle's cases count with it. */
export const ENTRY_BYTES = 12

/** A batch made of literal offsets; `entryBytes` is what each record weighs. */
export class FakeBatch implements RecordBatch {
  readonly offset: Offset
  readonly maxOffset: Offset
  readonly nextOffset: Offset
  readonly recordCount: number
  readonly sizeBytes: number
  readonly #records: readonly KafkaRecord[]
  readonly #entryBytes: readonly number[]

  constructor(records: readonly KafkaRecord[], entryBytes: readonly number[], nextOffset = records.at(-1)!.offset + 1) {
    this.#records = records
    this.#entryBytes = entryBytes
    this.offset = records[0]!.offset
    this.maxOffset = records.at(-1)!.offset
    this.nextOffset = nextOffset
    this.recordCount = records.length
    this.sizeBytes = entryBytes.reduce((sum, bytes) => sum + bytes, 0)
  }

  at(index: number): KafkaRecord {
    return this.#records[index]!
  }

  [Symbol.iterator](): Iterator<KafkaRecord> {
    return this.#records[Symbol.iterator]()
  }

  sliceFrom(offset: Offset): RecordBatch | undefined {
    if (offset < this.offset || offset > this.maxOffset) return undefined
    const from = this.#records.findIndex(record => record.offset >= offset)
    if (from === 0) return this
    return new FakeBatch(this.#records.slice(from), this.#entryBytes.slice(from), this.nextOffset)
  }

  static concat(batches: readonly RecordBatch[]): RecordBatch {
    const fakes = batches as readonly FakeBatch[]
    return new FakeBatch(
      fakes.flatMap(batch => [...batch]),
      fakes.flatMap(batch => batch.#entryBytes),
      fakes.at(-1)!.nextOffset
    )
  }
}

/** Consecutive records from `offset`; each weighs what `entryBytes` says. */
export const fakeBatch = (offset: Offset, entryBytes: readonly number[], nextOffset?: Offset): FakeBatch =>
  new FakeBatch(
    entryBytes.map((_, index) => fakeRecord(offset + index)),
    entryBytes,
    nextOffset
  )

/** `count` consecutive records that together weigh exactly `sizeBytes`. */
export const fakeBatchOf = (offset: Offset, count: number, sizeBytes: number): FakeBatch =>
  fakeBatch(
    offset,
    Array.from({ length: count }, (_, index) => Math.floor(sizeBytes / count) + (index < sizeBytes % count ? 1 : 0))
  )

export const fakeRecord = (offset: Offset): KafkaRecord => ({
  offset,
  timestampMs: 0,
  key: null,
  value: Buffer.from(`m${offset}`),
  headers: []
})
