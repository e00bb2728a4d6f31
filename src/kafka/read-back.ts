import type { RecordHeader } from '../core/model.js'
import { codecOf, decompress } from './compression.js'
import * as layout from './record-batch-layout.js'
import { RecordCursor } from './record-cursor.js'
import { indexRecords } from './record-index.js'

/** Batches of our own need no lower limit; their length is an i32. */
const LARGEST_BATCH_BYTES = 0x7fffffff

/** Key, value and headers of a record we wrote ourselves; views of the batch's bytes. */
export interface WrittenRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** The records of a batch that `RecordBatchWriter` sealed, to be written again into other batches. */
export function readBack(batch: Buffer): WrittenRecord[] {
  const codec = codecOf(batch.readInt16BE(layout.AT_ATTRIBUTES) & layout.CODEC_MASK) ?? 'none'
  const records = decompress(codec, batch.subarray(layout.BATCH_HEADER_BYTES), LARGEST_BATCH_BYTES)
  const count = batch.readInt32BE(layout.AT_RECORD_COUNT)
  const { positions } = indexRecords(records, 0, count, count - 1)
  const written: WrittenRecord[] = []
  for (let index = 0; index < count; index++) {
    const cursor = new RecordCursor(records, positions[index]!, positions[index + 1]!)
    cursor.varint()
    cursor.skip(1)
    cursor.varlong()
    cursor.varint()
    written.push({
      key: readBytes(records, cursor),
      value: readBytes(records, cursor),
      headers: readHeaders(records, cursor)
    })
  }
  return written
}

function readBytes(records: Buffer, cursor: RecordCursor): Buffer | null {
  const length = cursor.varint()
  if (length < 0) return null
  const start = cursor.at
  cursor.skip(length)
  return records.subarray(start, start + length)
}

const readHeaders = (records: Buffer, cursor: RecordCursor): RecordHeader[] =>
  Array.from({ length: cursor.varint() }, () => ({
    key: readBytes(records, cursor)!.toString(),
    value: readBytes(records, cursor)
  }))
