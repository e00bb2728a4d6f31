import type { RecordHeader } from '../model.js'
import { openBatch } from '../wire/record-batch-split.js'
import { RecordCursor } from '../wire/record-cursor.js'

/** Key, value and headers of a record we wrote ourselves; views of the batch's bytes. */
export interface WrittenRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** The records of a batch we sealed, to be sealed again in another company. */
export function readBack(batch: Buffer): WrittenRecord[] {
  const { records, positions, count } = openBatch(batch)
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
