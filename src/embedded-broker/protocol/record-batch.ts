import { crc32c } from '../../kafka/crc32c.js'
import { readInt64, writeInt64 } from '../../kafka/record-batch-layout.js'

/** Length of the header of a record batch (magic 2). `kafka/record-batch-layout.ts` has its fields and their positions. */
export const HEADER_BYTES = 61
/** Bytes of a batch that `batchLength` does not count. */
export const LENGTH_OVERHEAD_BYTES = 12
export const MAGIC = 2
const CRC_AT = 17
const ATTRIBUTES_AT = 21

/** Size of the whole batch at `at`; undefined when the batch is incomplete or its length is invalid. */
function batchSizeAt(bytes: Buffer, at: number): number | undefined {
  if (at + HEADER_BYTES > bytes.length) return undefined
  const size = bytes.readInt32BE(at + 8) + LENGTH_OVERHEAD_BYTES
  return size >= HEADER_BYTES && at + size <= bytes.length ? size : undefined
}

/** Splits a record set into whole batches, and the bytes left over at its end. */
export function splitBatches(bytes: Buffer): { readonly batches: Buffer[]; readonly leftover: Buffer } {
  const batches: Buffer[] = []
  let at = 0
  for (let size = batchSizeAt(bytes, at); size !== undefined; size = batchSizeAt(bytes, at)) {
    batches.push(bytes.subarray(at, at + size))
    at += size
  }
  return { batches, leftover: bytes.subarray(at) }
}

/** A view of one whole batch: reads and writes header fields in the given bytes. */
export class BatchView {
  readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get baseOffset(): number {
    return readInt64(this.bytes, 0)
  }
  get leaderEpoch(): number {
    return this.bytes.readInt32BE(12)
  }
  get magic(): number {
    return this.bytes.readInt8(16)
  }
  get codec(): number {
    return this.bytes.readInt16BE(ATTRIBUTES_AT) & 7
  }
  get isTransactional(): boolean {
    return (this.bytes.readInt16BE(ATTRIBUTES_AT) & 16) !== 0
  }
  get isControl(): boolean {
    return (this.bytes.readInt16BE(ATTRIBUTES_AT) & 32) !== 0
  }
  get isLogAppendTime(): boolean {
    return (this.bytes.readInt16BE(ATTRIBUTES_AT) & 8) !== 0
  }
  get lastOffsetDelta(): number {
    return this.bytes.readInt32BE(23)
  }
  get baseTimestamp(): number {
    return readInt64(this.bytes, 27)
  }
  get maxTimestamp(): number {
    return readInt64(this.bytes, 35)
  }
  get producerId(): number {
    return readInt64(this.bytes, 43)
  }
  get producerEpoch(): number {
    return this.bytes.readInt16BE(51)
  }
  get baseSequence(): number {
    return this.bytes.readInt32BE(53)
  }
  get recordCount(): number {
    return this.bytes.readInt32BE(57)
  }
  get lastOffset(): number {
    return this.baseOffset + this.lastOffsetDelta
  }
  get hasGoodCrc(): boolean {
    return this.bytes.readUInt32BE(CRC_AT) === crc32c(this.bytes.subarray(ATTRIBUTES_AT))
  }

  /** Places the batch in a log. The CRC does not cover these fields. */
  place(baseOffset: number, leaderEpoch: number): void {
    writeInt64(this.bytes, baseOffset, 0)
    this.bytes.writeInt32BE(leaderEpoch, 12)
  }

  /** Sets the broker's timestamp, and the CRC, which covers the timestamp. */
  stampAppendTime(nowMs: number): void {
    this.bytes.writeInt16BE(this.bytes.readInt16BE(ATTRIBUTES_AT) | 8, ATTRIBUTES_AT)
    writeInt64(this.bytes, nowMs, 35)
    this.sealCrc()
  }

  sealCrc(): void {
    this.bytes.writeUInt32BE(crc32c(this.bytes.subarray(ATTRIBUTES_AT)), CRC_AT)
  }
}

const CONTROL_AND_TRANSACTIONAL = 0x30

/**
 * The marker that ends a transaction in one partition. It is a batch of one record with key (version, type) and value
 * (version, epoch).
 */
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
  writeInt64(bytes, nowMs, 27)
  writeInt64(bytes, nowMs, 35)
  writeInt64(bytes, producerId, 43)
  bytes.writeInt16BE(producerEpoch, 51)
  bytes.writeInt32BE(-1, 53)
  bytes.writeInt32BE(1, 57)
  const batch = new BatchView(bytes)
  batch.sealCrc()
  return batch
}
