import { codecOf, compress } from '../../kafka/compression.js'
import { BatchView, HEADER_BYTES } from '../protocol/record-batch.js'
import { type DecodedRecord, decodeRecords } from '../protocol/records.js'

/**
 * Keeps only the newest record of each key, and returns the remaining batches. Offsets do not change, so batches get
 * holes. A batch without records stays as an empty header if it is the last batch of the log or of a producer.
 *
 *   [a0 b1 a2] [b3 b4] [a5]   =>   [- - -] gone   [- b4]   [a5]
 */
export function compactBatches(batches: readonly BatchView[]): BatchView[] {
  const newest = new Map<string, number>()
  const decoded = batches.map(batch => (batch.isControl ? undefined : decodeRecords(batch)))
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

const CODEC_MASK = 7
const ATTRIBUTES_AT = 21
const RECORD_COUNT_AT = 57

function withRecords(batch: BatchView, records: readonly DecodedRecord[]): BatchView {
  const plain = Buffer.concat(records.map(({ bytes }) => bytes))
  const payload = records.length === 0 ? plain : compress(codecOf(batch.codec) ?? 'none', plain)
  const bytes = Buffer.concat([batch.bytes.subarray(0, HEADER_BYTES), payload])
  bytes.writeInt32BE(bytes.length - 12, 8)
  if (records.length === 0) bytes.writeInt16BE(bytes.readInt16BE(ATTRIBUTES_AT) & ~CODEC_MASK, ATTRIBUTES_AT)
  bytes.writeInt32BE(records.length, RECORD_COUNT_AT)
  const compacted = new BatchView(bytes)
  compacted.sealCrc()
  return compacted
}
