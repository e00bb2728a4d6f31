import type { KafkaRecord, RecordHeader } from '../../core/model.js'
import { codecOf, decompress } from '../../kafka/compression.js'
import { type BatchView, HEADER_BYTES } from './record-batch.js'
import { VarintReader } from './varint.js'

/** Limit for batches in the log. They were accepted within a lower one; batches written by tests need not have been. */
const MAX_DECOMPRESSED_BYTES = 256 * 1024 * 1024
/** Length, attributes, timestamp, offset, key, value and headers of an empty record: a byte each. */
export const SMALLEST_RECORD_BYTES = 7

/** One record of a batch, with where it stands in the (decompressed) record bytes. */
export interface DecodedRecord extends KafkaRecord {
  readonly offsetDelta: number
  /** The record's own bytes, length varint included. */
  readonly bytes: Buffer
}

/** @throws Error when the records do not decode; the caller decides what that means. */
export function decodeRecords(batch: BatchView): DecodedRecord[] {
  const reader = new VarintReader(recordBytes(batch, MAX_DECOMPRESSED_BYTES))
  const records: DecodedRecord[] = []
  for (let count = batch.recordCount; count > 0; count--) records.push(decodeRecord(reader, batch))
  return records
}

/** @throws Error when the codec is not known, the bytes are damaged, or they grow beyond `maxBytes` */
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
 * Walks records without creating objects: a few kilobytes may hold millions of records.
 *
 * @param visit returns false to stop
 * @returns whether it reached the end of the last record, which then is the end of the bytes
 * @throws Error when the records do not decode
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

/** The first record at or after a time and an offset; undefined: there is none. */
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
