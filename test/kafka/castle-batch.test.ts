import { expect } from 'chai'
import type { RecordBatch } from '../../src/core/model.js'
import { decodeFetchedRecords } from '../../src/kafka/fetched-records.js'
import { noProducer, RecordBatchWriter } from '../../src/kafka/record-batch-writer.js'
import { concatBatches } from '../../src/kafka/record-batches.js'
import { allowance } from './allowance.js'

/** As many records as values, consecutive from `offset`, through the bytes of the wire and back. */
function batchFrom(offset: number, ...values: string[]): RecordBatch {
  const writer = new RecordBatchWriter(1_000_000)
  for (const value of values) writer.append(null, value, undefined, 1_700_000_000_000)
  const bytes = Buffer.from(writer.seal({ ...noProducer, codec: 'none' }))
  bytes.writeBigInt64BE(BigInt(offset), 0)
  return decodeFetchedRecords(bytes, { fetchOffset: offset, abortedTransactions: [], allowance: allowance() })
    .batches[0]!
}
const valuesOf = (batch: RecordBatch): string[] => [...batch].map(record => record.value!.toString())

describe('record batch: the cases of Castle', () => {
  it('castle 70 an empty record set gives no batch', () => {
    const none = decodeFetchedRecords(Buffer.alloc(0), {
      fetchOffset: 50,
      abortedTransactions: [],
      allowance: allowance()
    })
    expect([none.batches.length, none.nextOffset]).to.deep.equal([0, 50])
    expect(() => concatBatches([])).to.throw(RangeError)
  })

  it('castle 71 a batch of one record knows its offsets and its size', () => {
    const batch = batchFrom(50, 'm50')
    expect(batch).to.include({ offset: 50, nextOffset: 51, recordCount: 1, maxOffset: 50 })
    // length, attributes, timestamp delta, offset delta, key length, value length, value, header count
    expect(batch.sizeBytes).to.equal(6 + 3 + 1)
  })

  it('castle 72 a batch of two records knows its offsets', () => {
    expect(batchFrom(50, 'a', 'b')).to.include({ offset: 50, nextOffset: 52, recordCount: 2 })
  })

  it('castle 73 joins neighbours', () => {
    const parts = [batchFrom(50, 'a'), batchFrom(51, 'b', 'c')]
    const joined = concatBatches(parts)
    expect(joined).to.include({ offset: 50, nextOffset: 53, maxOffset: 52, recordCount: 3 })
    expect(joined.sizeBytes).to.equal(parts[0]!.sizeBytes + parts[1]!.sizeBytes)
    expect(valuesOf(joined)).to.deep.equal(['a', 'b', 'c'])
    expect([0, 1, 2].map(index => joined.at(index).offset)).to.deep.equal([50, 51, 52])
  })

  it('castle 74 refuses to join what overlaps (holes are compaction and allowed, unlike Castle)', () => {
    expect(() => concatBatches([batchFrom(50, 'a', 'b'), batchFrom(51, 'c')])).to.throw(
      RangeError,
      'overlaps the batch before it'
    )
    expect(concatBatches([batchFrom(50, 'a'), batchFrom(60, 'b')])).to.include({ recordCount: 2, nextOffset: 61 })
  })

  it('castle 75 has no slice at an offset outside of it', () => {
    const batch = batchFrom(50, 'a', 'b', 'c')
    for (const offset of [-1, 0, 5, 49, 53]) expect(batch.sliceFrom(offset), `${offset}`).to.equal(undefined)
  })

  it('castle 77, castle 78 slices count their own records and bytes; the whole is the same object', () => {
    const batch = batchFrom(50, 'a', 'bb', 'ccc')
    expect(batch.sliceFrom(50)).to.equal(batch)
    expect(batch.sliceFrom(51)).to.include({
      offset: 51,
      nextOffset: 53,
      recordCount: 2,
      sizeBytes: 9 + 10,
      maxOffset: 52
    })
    expect(batch.sliceFrom(52)).to.include({ offset: 52, nextOffset: 53, recordCount: 1, sizeBytes: 10, maxOffset: 52 })
    expect(valuesOf(batch.sliceFrom(51)!)).to.deep.equal(['bb', 'ccc'])
  })

  it('castle 79 a joined batch is sliced across its parts', () => {
    const joined = concatBatches([batchFrom(50, 'a', 'b'), batchFrom(52, 'c', 'd')])
    for (const offset of [49, 54]) expect(joined.sliceFrom(offset)).to.equal(undefined)
    expect(valuesOf(joined.sliceFrom(51)!)).to.deep.equal(['b', 'c', 'd'])
    expect(joined.sliceFrom(53)).to.include({ offset: 53, nextOffset: 54, recordCount: 1 })
  })
})
