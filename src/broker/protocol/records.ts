import type { KafkaRecord, RecordHeader } from '../../model.js'
import { codecOf, decompress } from '../../wire/compression.js'
import { type BatchView, HEADER_BYTES } from './record-batch.js'
import { VarintReader } from './varint.js'

/** A batch of a megabyte could claim to be a gigabyte. */
const MAX_DECOMPRESSED_BYTES = 256 * 1024 * 1024

/** One record of a batch, with where it stands in the (decompressed) record bytes. */
export interface DecodedRecord extends KafkaRecord {
  readonly offsetDelta: number
  /** The record's own bytes, length varint included. */
  readonly bytes: Buffer
}

/** @throws Error when the records do not decode; who calls decides what that means. */
export function decodeRecords(batch: BatchView): DecodedRecord[] {
  const reader = new VarintReader(recordBytes(batch))
  const records: DecodedRecord[] = []
  for (let count = batch.recordCount; count > 0; count--) records.push(decodeRecord(reader, batch))
  return records
}

function recordBytes(batch: BatchView): Buffer {
  const codec = codecOf(batch.codec)
  if (!codec) throw new Error(`codec ${batch.codec} is not known`)
  return decompress(codec, batch.bytes.subarray(HEADER_BYTES), MAX_DECOMPRESSED_BYTES)
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
