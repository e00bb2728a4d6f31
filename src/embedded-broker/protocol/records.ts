import type { KafkaRecord, RecordHeader } from '../../core/model.js'
import { codecOf, decompress } from '../../kafka/compression.js'
import { type BatchView, HEADER_BYTES } from './record-batch.js'

/** Limit for batches in the log. Producers have a lower limit, but tests may write larger batches. */
const MAX_DECOMPRESSED_BYTES = 256 * 1024 * 1024
/** An empty record has one byte each for length, attributes, timestamp, offset, key, value and headers. */
export const SMALLEST_RECORD_BYTES = 7

/** One record of a batch, with its own bytes. */
export interface DecodedRecord extends KafkaRecord {
  readonly offsetDelta: number
  /** The record's own bytes, length varint included. */
  readonly bytes: Buffer
}

/** @throws Error when the records cannot be decoded */
export function decodeRecords(batch: BatchView): DecodedRecord[] {
  const reader = new VarintReader(recordBytes(batch, MAX_DECOMPRESSED_BYTES))
  const records: DecodedRecord[] = []
  for (let count = batch.recordCount; count > 0; count--) records.push(decodeRecord(reader, batch))
  return records
}

/**
 * @throws Error when the codec is unknown, the bytes are damaged, or the decompressed records are larger than
 *   `maxBytes`
 */
export function recordBytes(batch: BatchView, maxBytes: number): Buffer {
  const codec = codecOf(batch.codec)
  if (!codec) throw new Error(`codec ${batch.codec} is not known`)
  return decompress(codec, batch.bytes.subarray(HEADER_BYTES), maxBytes)
}

/** The parts of a record that validation needs. The same object is passed for each record. */
export interface RecordSketch {
  offsetDelta: number
  timestampDelta: number
  hasKey: boolean
}

/**
 * Walks through records without creating objects, because a few compressed kilobytes may hold millions of records.
 *
 * @param visit returns false to stop
 * @returns true when all records were visited and the last one ends at the end of the bytes
 * @throws Error when the records cannot be decoded
 */
export function walkRecords(bytes: Buffer, count: number, visit: (record: RecordSketch) => boolean): boolean {
  const reader = new VarintReader(bytes)
  const record = { offsetDelta: 0, timestampDelta: 0, hasKey: false }
  for (let left = count; left > 0; left--) {
    const end = reader.varint() + reader.position
    reader.skip(1)
    record.timestampDelta = reader.varlong()
    record.offsetDelta = reader.varint()
    record.hasKey = reader.skipNullableBytes()
    reader.skipNullableBytes()
    for (let headers = reader.varint(); headers > 0; headers--) {
      reader.skipNullableBytes()
      reader.skipNullableBytes()
    }
    if (reader.position !== end) throw new Error(`record ends at ${reader.position}, its length says ${end}`)
    if (!visit(record)) return false
  }
  if (reader.position !== bytes.length)
    throw new Error(`${bytes.length - reader.position} bytes behind the last record`)
  return true
}

/** The first record at or after a time and an offset; undefined: there is no such record. */
export function firstRecordSince(
  batch: BatchView,
  timestampMs: number,
  offset: number
): { readonly timestampMs: number; readonly offset: number } | undefined {
  let found: { readonly timestampMs: number; readonly offset: number } | undefined
  walkRecords(recordBytes(batch, MAX_DECOMPRESSED_BYTES), batch.recordCount, record => {
    const at = batch.isLogAppendTime ? batch.maxTimestamp : batch.baseTimestamp + record.timestampDelta
    const recordOffset = batch.baseOffset + record.offsetDelta
    if (at < timestampMs || recordOffset < offset) return true
    found = { timestampMs: at, offset: recordOffset }
    return false
  })
  return found
}

function decodeRecord(reader: VarintReader, batch: BatchView): DecodedRecord {
  const start = reader.position
  const end = reader.varint() + reader.position
  reader.skip(1)
  const timestampDelta = reader.varlong()
  const offsetDelta = reader.varint()
  const key = reader.nullableBytes()
  const value = reader.nullableBytes()
  const headers: RecordHeader[] = []
  for (let count = reader.varint(); count > 0; count--) {
    headers.push({ key: (reader.nullableBytes() ?? Buffer.alloc(0)).toString(), value: reader.nullableBytes() })
  }
  if (reader.position !== end) throw new Error(`record ends at ${reader.position}, its length says ${end}`)
  const timestampMs = batch.isLogAppendTime ? batch.maxTimestamp : batch.baseTimestamp + timestampDelta
  return {
    offset: batch.baseOffset + offsetDelta,
    timestampMs,
    key,
    value,
    headers,
    offsetDelta,
    bytes: reader.slice(start, end)
  }
}

/** A varlong has at most ten bytes. */
const LARGEST_VARLONG_FACTOR = 128 ** 9

/** Reads the zigzag varints and length-prefixed byte strings records are made of. */
class VarintReader {
  readonly #bytes: Buffer
  #position = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get position(): number {
    return this.#position
  }

  skip(length: number): void {
    this.#position += length
  }

  varint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte()
      value |= (byte & 127) << shift
      if (byte < 128) return (value >>> 1) ^ -(value & 1)
    }
    throw new Error('varint is too long')
  }

  varlong(): number {
    const first = this.#byte()
    let value = first & 127
    let byte = first
    for (let factor = 128; byte >= 128; factor *= 128) {
      if (factor > LARGEST_VARLONG_FACTOR) throw new Error('varlong is too long')
      byte = this.#byte()
      value += (byte & 127) * factor
    }
    // The lowest bit of a zigzag number is its sign. It is read separately, because large values are rounded.
    return first & 1 ? -Math.floor(value / 2) - 1 : Math.floor(value / 2)
  }

  nullableBytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.#position
    if (start + length > this.#bytes.length) throw new Error('byte string reaches beyond the batch')
    this.#position = start + length
    return this.#bytes.subarray(start, this.#position)
  }

  /** Skips a nullable byte string without creating a view. Returns false for null. */
  skipNullableBytes(): boolean {
    const length = this.varint()
    if (length < 0) return false
    if (this.#position + length > this.#bytes.length) throw new Error('byte string reaches beyond the batch')
    this.#position += length
    return true
  }

  slice(start: number, end: number): Buffer {
    return this.#bytes.subarray(start, end)
  }

  #byte(): number {
    const byte = this.#bytes[this.#position++]
    if (byte === undefined) throw new Error('records end too early')
    return byte
  }
}
