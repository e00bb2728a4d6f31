import type { KafkaRecord } from '../../core/model.js'
import { codecOf, decompress } from '../../kafka/compression.js'
import { RecordFields, readHeaders } from '../../kafka/record-reader.js'
import { type BatchView, HEADER_BYTES } from './record-batch.js'

/** Limit for batches in the log. Producers have a lower limit, but tests may write larger batches. */
const MAX_DECOMPRESSED_BYTES = 256 * 1024 * 1024
/** An empty record has one byte each for length, attributes, timestamp, offset, key, value and headers. */
export const SMALLEST_RECORD_BYTES = 7
/** The length -1 of a key that is null, as a varint. */
const NULL_BYTES = 1

/** One record of a batch, with its own bytes. */
export interface DecodedRecord extends KafkaRecord {
  readonly offsetDelta: number
  /** The record's own bytes, length varint included. */
  readonly bytes: Buffer
}

/** @throws Error when the records cannot be decoded */
export function decodeRecords(batch: BatchView): DecodedRecord[] {
  const bytes = recordBytes(batch, MAX_DECOMPRESSED_BYTES)
  const fields = new RecordFields(bytes, 0)
  return Array.from({ length: batch.recordCount }, () => decodeRecord(bytes, fields, batch))
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
  const reader = new RecordFields(bytes, 0)
  const record = { offsetDelta: 0, timestampDelta: 0, hasKey: false }
  for (let left = count; left > 0; left--) {
    const end = reader.varint() + reader.position
    reader.skip(1)
    record.timestampDelta = reader.varlong()
    record.offsetDelta = reader.varint()
    record.hasKey = bytes[reader.position] !== NULL_BYTES
    reader.skipBytes()
    reader.skipBytes()
    for (let headers = reader.varint(); headers > 0; headers--) {
      reader.skipBytes()
      reader.skipBytes()
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

function decodeRecord(bytes: Buffer, fields: RecordFields, batch: BatchView): DecodedRecord {
  const start = fields.position
  const end = fields.varint() + fields.position
  if (end > bytes.length) throw new Error(`record ends at ${end} of ${bytes.length} bytes`)
  fields.skip(1)
  const timestampDelta = fields.varlong()
  const offsetDelta = fields.varint()
  const [key, value, headers] = [fields.readBytes(), fields.readBytes(), readHeaders(fields)]
  if (fields.position !== end) throw new Error(`record ends at ${fields.position}, its length says ${end}`)
  const timestampMs = batch.isLogAppendTime ? batch.maxTimestamp : batch.baseTimestamp + timestampDelta
  const offset = batch.baseOffset + offsetDelta
  return { offset, timestampMs, key, value, headers, offsetDelta, bytes: bytes.subarray(start, end) }
}
