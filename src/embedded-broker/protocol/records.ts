import type { KafkaRecord } from '../../core/model.js'
import { codecOf, compress, decompress } from '../../kafka/compression.js'
import {
  AT_ATTRIBUTES,
  AT_BATCH_LENGTH,
  AT_RECORD_COUNT,
  CODEC_MASK,
  LOG_OVERHEAD_BYTES
} from '../../kafka/record-batch-layout.js'
import { indexRecords, RecordFields, readHeaders } from '../../kafka/record-reader.js'
import { BatchView, HEADER_BYTES } from './record-batch.js'

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
export function decodeStoredRecords(batch: BatchView): DecodedRecord[] {
  const bytes = recordBytes(batch, MAX_DECOMPRESSED_BYTES)
  const { positions } = indexRecords(bytes, 0, batch.recordCount, batch.lastOffsetDelta)
  return Array.from(positions.subarray(1), (end, index) => decodeRecord(bytes.subarray(positions[index], end), batch))
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
    const keyLength = reader.varint()
    record.hasKey = keyLength >= 0
    reader.skip(Math.max(0, keyLength))
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

/** @param bytes checked */
function decodeRecord(bytes: Buffer, batch: BatchView): DecodedRecord {
  const fields = new RecordFields(bytes, 0)
  fields.varint()
  fields.skip(1)
  const timestampDelta = fields.varlong()
  const offsetDelta = fields.varint()
  const [key, value, headers] = [fields.readBytes(), fields.readBytes(), readHeaders(fields)]
  const timestampMs = batch.isLogAppendTime ? batch.maxTimestamp : batch.baseTimestamp + timestampDelta
  return { offset: batch.baseOffset + offsetDelta, timestampMs, key, value, headers, offsetDelta, bytes }
}

/**
 * Keeps only the newest record of each key, and returns the remaining batches. Offsets do not change, so batches get
 * holes. A batch without records stays as an empty header if it is the last batch of the log or of a producer.
 *
 *   [a0 b1 a2] [b3 b4] [a5]   =>   [- - -] gone   [- b4]   [a5]
 */
export function compactBatches(batches: readonly BatchView[]): BatchView[] {
  const newest = new Map<string, number>()
  const decoded = batches.map(batch => (batch.isControl ? undefined : decodeStoredRecords(batch)))
  for (const records of decoded) {
    for (const { key, offset } of records ?? []) if (key) newest.set(key.toString('latin1'), offset)
  }
  const isNewest = ({ key, offset }: DecodedRecord) => key !== null && newest.get(key.toString('latin1')) === offset
  return batches.flatMap((batch, index) => {
    const records = decoded[index]
    if (!records) return [batch]
    const kept = records.filter(isNewest)
    if (kept.length === records.length) return [batch]
    const mustStay = batch.producerId >= 0 || index === batches.length - 1
    return kept.length > 0 || mustStay ? [withRecords(batch, kept)] : []
  })
}

function withRecords(batch: BatchView, records: readonly DecodedRecord[]): BatchView {
  const plain = Buffer.concat(records.map(({ bytes }) => bytes))
  const payload = records.length === 0 ? plain : compress(codecOf(batch.codec) ?? 'none', plain)
  const bytes = Buffer.concat([batch.bytes.subarray(0, HEADER_BYTES), payload])
  bytes.writeInt32BE(bytes.length - LOG_OVERHEAD_BYTES, AT_BATCH_LENGTH)
  if (records.length === 0) bytes.writeInt16BE(bytes.readInt16BE(AT_ATTRIBUTES) & ~CODEC_MASK, AT_ATTRIBUTES)
  bytes.writeInt32BE(records.length, AT_RECORD_COUNT)
  const compacted = new BatchView(bytes)
  compacted.sealCrc()
  return compacted
}
