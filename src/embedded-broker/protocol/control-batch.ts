import { BatchView, HEADER_BYTES } from './record-batch.js'

const CONTROL_AND_TRANSACTIONAL = 0x30

/** The marker that ends a transaction in one partition: a batch of one record, key (version, type), value (version, epoch). */
export function controlBatch(
  type: 'abort' | 'commit',
  producerId: number,
  producerEpoch: number,
  nowMs: number
): BatchView {
  // length 16, attributes, timestamp delta, offset delta, key length 4, key, value length 6, value, no headers
  const record = [32, 0, 0, 0, 8, 0, 0, 0, type === 'abort' ? 0 : 1, 12, 0, 0, 0, 0, 0, 0, 0]
  const bytes = Buffer.alloc(HEADER_BYTES + record.length)
  bytes.set(record, HEADER_BYTES)
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt8(2, 16)
  bytes.writeInt16BE(CONTROL_AND_TRANSACTIONAL, 21)
  bytes.writeBigInt64BE(BigInt(nowMs), 27)
  bytes.writeBigInt64BE(BigInt(nowMs), 35)
  bytes.writeBigInt64BE(BigInt(producerId), 43)
  bytes.writeInt16BE(producerEpoch, 51)
  bytes.writeInt32BE(-1, 53)
  bytes.writeInt32BE(1, 57)
  const batch = new BatchView(bytes)
  batch.sealCrc()
  return batch
}
