import { errors } from '../protocol/error-codes.js'
import { BatchView, MAGIC, splitBatches } from '../protocol/record-batch.js'
import { decodeRecords } from '../protocol/records.js'

export type ValidatedBatch =
  | { readonly type: 'good'; readonly batch: BatchView }
  | { readonly type: 'refused'; readonly errorCode: number; readonly reason: string }

const refused = (errorCode: number, reason: string): ValidatedBatch => ({ type: 'refused', errorCode, reason })
const ZSTD = 4

/** What a topic asks of the batches that are written to it. */
export interface BatchLimits {
  readonly maxMessageBytes: number
  /** Every record needs a key. */
  readonly isCompacted: boolean
}

/**
 * Looks at what a producer sent for one partition: exactly one whole, undamaged batch. Records are decoded only where
 * they are compressed, or where their keys matter.
 *
 * Source: apache/kafka ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator.
 */
export function validateProduced(records: Buffer | null, version: number, limits: BatchLimits): ValidatedBatch {
  const bytes = records ?? Buffer.alloc(0)
  if (bytes.length > 16 && bytes.readInt8(16) !== MAGIC) {
    return refused(errors.invalidRecord, 'produce requests may carry record batches of magic 2 only')
  }
  const { batches, leftover } = splitBatches(bytes)
  const first = batches[0]
  if (!first) return refused(bytes.length > 0 ? errors.corruptMessage : errors.invalidRecord, 'no whole record batch')
  if (batches.length > 1 || leftover.length > 0) {
    return refused(errors.invalidRecord, 'produce requests may carry exactly one record batch per partition')
  }
  const batch = new BatchView(first)
  const refusal = headerRefusal(batch, version, limits.maxMessageBytes)
  if (refusal) return refusal
  return batch.codec !== 0 || limits.isCompacted ? validateRecords(batch, limits) : { type: 'good', batch }
}

function headerRefusal(batch: BatchView, version: number, maxMessageBytes: number): ValidatedBatch | undefined {
  if (batch.codec === ZSTD && version < 7) return refused(errors.unsupportedCompressionType, 'zstd needs Produce v7')
  if (batch.bytes.length > maxMessageBytes) {
    return refused(errors.messageTooLarge, `a batch of ${batch.bytes.length} bytes is larger than ${maxMessageBytes}`)
  }
  if (!batch.hasGoodCrc) return refused(errors.corruptMessage, 'the CRC does not fit the bytes')
  if (batch.recordCount <= 0 || batch.lastOffsetDelta + 1 !== batch.recordCount) {
    return refused(errors.invalidRecord, 'record count and last offset delta do not agree')
  }
  if (batch.isControl) return refused(errors.invalidRecord, 'clients may not write control batches')
  if (batch.producerId >= 0 && batch.baseSequence < 0) {
    return refused(errors.invalidRecord, 'a batch with a producer id needs a sequence')
  }
  return undefined
}

function validateRecords(batch: BatchView, { isCompacted }: BatchLimits): ValidatedBatch {
  try {
    const hasKeys = decodeRecords(batch).every(({ key }) => key !== null)
    if (isCompacted && !hasKeys) return refused(errors.invalidRecord, 'a compacted topic takes no record without a key')
    return { type: 'good', batch }
  } catch (error) {
    return refused(errors.unknownServerError, `the records do not decode: ${(error as Error).message}`)
  }
}
