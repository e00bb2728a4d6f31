import { expect } from 'chai'
import { validateProduced } from '../../../src/embedded-broker/api/produce.js'
import { BatchView, HEADER_BYTES } from '../../../src/embedded-broker/protocol/record-batch.js'
import { decodeStoredRecords } from '../../../src/embedded-broker/protocol/records.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { batchOf } from '../../support/raw-kafka.js'

/** A batch of one record with these bytes. */
function batchWith(record: readonly number[]): Buffer {
  const bytes = Buffer.concat([batchOf(['x']).subarray(0, HEADER_BYTES), Buffer.from([2 * record.length, ...record])])
  bytes.writeInt32BE(bytes.length - 12, 8)
  new BatchView(bytes).sealCrc()
  return bytes
}

describe('a produced batch', () => {
  it('is refused by a compacted topic without a key, also where the length of null takes two bytes', () => {
    const limits = {
      maxMessageBytes: 1_000,
      isCompacted: true,
      isLogAppendTime: false,
      timestampBeforeMaxMs: Number.POSITIVE_INFINITY,
      timestampAfterMaxMs: Number.POSITIVE_INFINITY
    }
    for (const nullLength of [[0x01], [0x81, 0x00]]) {
      const batch = batchWith([0, 0, 0, ...nullLength, 2, 120, 0])
      const validated = validateProduced(batch, 9, limits, { maxRecordsPerBatch: 10, bytesLeft: 1_000 })
      expect(validated).to.include({ type: 'refused', errorCode: errorCodes.INVALID_RECORD })
    }
  })

  it('is told to be damaged where a header has no name', () => {
    const batch = new BatchView(batchWith([0, 0, 0, 1, 1, 2, 1, 1]))
    expect(() => decodeStoredRecords(batch)).to.throw('a header has no key')
  })
})
