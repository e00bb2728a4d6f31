import { DamagedRecordsError } from './record-cursor.js'
import { RecordFields } from './record-fields.js'

/** Where the records of a batch are. */
export interface RecordIndex {
  /** Position of each record, at its length; one more entry for the end. */
  readonly positions: Uint32Array
  /** Offset of each record less the batch's base offset; `undefined`: 0, 1, 2, … */
  readonly offsetDeltas: Uint32Array | undefined
}

/** Smallest record there is: seven numbers of one byte. */
const SMALLEST_RECORD_BYTES = 7

/**
 * Finds and checks all records in one pass, so that decoding any of them later cannot fail: every length stays within
 * its record, every record within the batch, offsets rise and stay within `lastOffsetDelta`.
 *
 * @throws DamagedRecordsError when that is not so
 */
export function indexRecords(bytes: Buffer, at: number, count: number, lastOffsetDelta: number): RecordIndex {
  if (count < 0 || count > (bytes.length - at) / SMALLEST_RECORD_BYTES) {
    throw new DamagedRecordsError(`${count} records do not fit into ${bytes.length - at} bytes`)
  }
  const positions = new Uint32Array(count + 1)
  let offsetDeltas: Uint32Array | undefined
  let previous = -1
  const fields = new RecordFields(bytes, at)
  for (let index = 0; index < count; index++) {
    positions[index] = fields.position
    const delta = passRecord(fields, bytes.length)
    if (delta <= previous || delta > lastOffsetDelta) throw new DamagedRecordsError('offsets of records do not rise')
    if (delta !== index) offsetDeltas ??= countUpTo(index, count)
    if (offsetDeltas !== undefined) offsetDeltas[index] = delta
    previous = delta
  }
  positions[count] = fields.position
  if (fields.position !== bytes.length) throw new DamagedRecordsError('bytes are left behind the last record')
  return { positions, offsetDeltas }
}

/** Checks one record and moves behind it; returns its offset delta. */
function passRecord(fields: RecordFields, batchEnd: number): number {
  const length = fields.varint()
  const end = fields.position + length
  if (length < 0 || end > batchEnd) throw new DamagedRecordsError('a record reaches beyond its batch')
  fields.skip(1)
  fields.varlong()
  const offsetDelta = fields.varint()
  fields.skipBytes()
  fields.skipBytes()
  const headers = fields.varint()
  if (headers !== 0) passHeaders(fields, headers, end)
  if (fields.position !== end) throw new DamagedRecordsError('a record does not end where it says')
  return offsetDelta
}

function passHeaders(fields: RecordFields, count: number, end: number): void {
  if (count < 0) throw new DamagedRecordsError('a record has a negative number of headers')
  for (let index = 0; index < count; index++) {
    if (fields.position >= end) throw new DamagedRecordsError('a record has fewer headers than it says')
    const keyLength = fields.varint()
    if (keyLength < 0) throw new DamagedRecordsError('a header has no key')
    fields.skip(keyLength)
    fields.skipBytes()
  }
}

function countUpTo(end: number, length: number): Uint32Array {
  const numbers = new Uint32Array(length)
  for (let index = 0; index < end; index++) numbers[index] = index
  return numbers
}
