import { expect } from 'chai'
import { ProtocolError } from '../../src/core/errors.js'
import { readAcquired, type ToldRange } from '../../src/kafka/acquired-records.js'
import { type CompressionCodec, prepareCompression } from '../../src/kafka/compression.js'
import { crc32c } from '../../src/kafka/crc32c.js'
import { DecompressedMemory } from '../../src/kafka/decompressed-memory.js'
import { DecompressionAllowance } from '../../src/kafka/packed-records.js'
import { controlBatch } from '../support/raw-kafka.js'
import { allowance } from './allowance.js'
import { encodeWithKafkajs } from './kafkajs-records.js'
import { batchAt } from './sample-responses.js'

const CONTROL = 0x20
const withFlags = (flags: number) => (batch: Buffer) => batch.writeInt16BE(batch.readInt16BE(21) | flags, 21)

const range = (first: number, last: number, deliveryCount = 1): ToldRange => ({ first, last, deliveryCount })
const read = (batches: readonly Buffer[], ...ranges: ToldRange[]) => {
  const { records, gaps, unreadable } = readAcquired(Buffer.concat(batches), ranges, allowance())
  return {
    records: records.map(({ record, deliveryCount }) => `${record.offset}:${record.value} ${deliveryCount}`),
    gaps: gaps.map(({ first, last }) => `${first}-${last}`),
    unreadable: unreadable.map(({ first, last }) => `${first}-${last}`)
  }
}
const none = { records: [], gaps: [], unreadable: [] }

/** A batch whose CRC does not match. */
function damagedAt(baseOffset: number, values: readonly string[]): Buffer {
  const batch = batchAt(baseOffset, values)
  batch[batch.length - 1]! ^= 1
  return batch
}

/** The end of a transaction. */
function markerAt(offset: number, type: 'abort' | 'commit', producerId: number): Buffer {
  const marker = controlBatch(type, producerId)
  marker.writeBigInt64BE(BigInt(offset))
  return marker
}

describe('acquired records', () => {
  before(prepareCompression)

  it('are those of the batches within the acquired ranges, each with its delivery count', () => {
    const batches = [batchAt(10, ['a', 'b', 'c']), batchAt(13, ['d', 'e'])]
    expect(read(batches, range(11, 11, 3), range(12, 13))).to.deep.equal({
      ...none,
      records: ['11:b 3', '12:c 1', '13:d 1']
    })
    expect(read(batches)).to.deep.equal(none)
    expect(read([], range(5, 9)), 'no batch, no record').to.deep.equal({ ...none, gaps: ['5-9'] })
  })

  it('are no records where a broker tells a delivery that never was', () => {
    for (const count of [0, -1])
      expect(() => read([batchAt(1, ['a'])], range(1, 1, count))).to.throw(
        ProtocolError,
        `a delivery count of ${count}`
      )
  })

  it('keep no memory of the answer: key, value and headers are copies', async () => {
    const value = 'x'.repeat(100_000)
    const message = { key: 'k', value, headers: { h: 'header' }, offsetDelta: 0, timestampDelta: 0 }
    const bytes = await encodeWithKafkajs([message])
    const [{ record }] = readAcquired(bytes, [range(0, 0)], allowance()).records as never as [
      { record: { key: Buffer; value: Buffer; headers: { key: string; value: Buffer }[] } }
    ]
    bytes.fill(0)
    const copies = [record.key, record.value, record.headers[0]!.value]
    expect(copies.map(String)).to.deep.equal(['k', value, 'header'])
    // A view would keep all bytes of its batch.
    for (const { buffer } of copies) expect(buffer.byteLength).to.be.at.most(value.length)
  })

  it('leave gaps where records are compacted, in a batch, between batches and behind them', async () => {
    const compacted = await encodeWithKafkajs(
      [
        { key: null, value: 'x', offsetDelta: 1, timestampDelta: 0 },
        { key: null, value: 'y', offsetDelta: 4, timestampDelta: 0 }
      ],
      { lastOffsetDelta: 5 }
    )
    expect(read([compacted, batchAt(8, ['z'])], range(0, 11, 2))).to.deep.equal({
      ...none,
      records: ['1:x 2', '4:y 2', '8:z 2'],
      gaps: ['0-0', '2-3', '5-7', '9-11']
    })
  })

  it('leave gaps for control batches, and for what lies in no acquired range nothing', () => {
    const batches = [batchAt(0, ['a']), batchAt(1, ['x'], {}, withFlags(CONTROL)), batchAt(2, ['b', 'c'])]
    expect(read(batches, range(0, 1), range(3, 3))).to.deep.equal({
      ...none,
      records: ['0:a 1', '3:c 1'],
      gaps: ['1-1']
    })
  })

  it('of transactions, aborted ones included, are those that were acquired', () => {
    const inTransaction = { producerId: 7n, producerEpoch: 0, isTransactional: true }
    const batches = [
      batchAt(0, ['a', 'b'], { ...inTransaction, baseSequence: 0 }),
      markerAt(2, 'abort', 7),
      batchAt(3, ['c'], { ...inTransaction, baseSequence: 2 }),
      markerAt(4, 'commit', 7)
    ]
    expect(read(batches, range(1, 4))).to.deep.equal({ ...none, records: ['1:b 1', '3:c 1'], gaps: ['2-2', '4-4'] })
  })

  it('cannot be read from a damaged batch, whose own offsets are not believed', () => {
    const batches = [batchAt(0, ['a', 'b']), damagedAt(2, ['x', 'y']), batchAt(4, ['c'])]
    expect(read(batches, range(0, 4))).to.deep.equal({
      ...none,
      records: ['0:a 1', '1:b 1', '4:c 1'],
      unreadable: ['2-3']
    })
    const lying = damagedAt(2, ['x', 'y'])
    lying.writeBigInt64BE(1_000n)
    expect(read([batches[0]!, lying, batches[2]!], range(0, 4))).to.deep.include({ gaps: [], unreadable: ['2-3'] })
  })

  it('behind a damaged length or a cut batch cannot be read', () => {
    const wrongLength = batchAt(2, ['x'])
    wrongLength.writeInt32BE(-5, 8)
    expect(read([batchAt(0, ['a']), wrongLength, batchAt(3, ['b'])], range(0, 3))).to.deep.equal({
      ...none,
      records: ['0:a 1'],
      gaps: [],
      unreadable: ['1-3']
    })
    const cut = batchAt(1, ['x', 'y'])
    expect(read([batchAt(0, ['a']), cut.subarray(0, cut.length - 1)], range(0, 2))).to.deep.equal({
      ...none,
      records: ['0:a 1'],
      unreadable: ['1-2']
    })
  })

  it('tell why they cannot be read', () => {
    const reasons = readAcquired(damagedAt(0, ['a']), [range(0, 0)], allowance()).unreadable.map(({ reason }) => reason)
    expect(reasons).to.deep.equal(['the CRC does not match'])
  })

  it('are decompressed, of each codec that there is', () => {
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] satisfies CompressionCodec[]) {
      expect(read([batchAt(0, ['a', 'b'], { codec })], range(1, 1)).records, codec).to.deep.equal(['1:b 1'])
    }
  })

  it('of several large compressed batches are all read, up to the limit of a response', () => {
    const batches = [0, 1, 2].map(offset => batchAt(offset, ['x'.repeat(4_500_000)], { codec: 'gzip' }))
    const within = (maxBytes: number) => {
      const limits = { memory: new DecompressedMemory(maxBytes), responseMaxBytes: maxBytes }
      const decompression = new DecompressionAllowance(limits, limits.responseMaxBytes)
      const { records, unreadable } = readAcquired(Buffer.concat(batches), [range(0, 2)], decompression)
      return { records: records.map(({ record }) => record.offset), unreadable }
    }
    expect(within(30_000_000)).to.deep.equal({ records: [0, 1, 2], unreadable: [] })
    const reason = 'other batches of the same answer have used up the memory for decompressed records'
    expect(within(20_000_000)).to.deep.equal({ records: [0, 1], unreadable: [{ first: 2, last: 2, reason }] })
    expect(within(1_000_000).unreadable[0]).to.deep.equal({
      first: 0,
      last: 0,
      reason: 'the batch is larger than 1000000 bytes when it is decompressed'
    })
  })

  it('between which others lie cost no decompression of these', () => {
    const bomb = batchAt(1, ['x'.repeat(1_000_000)], { codec: 'gzip' })
    const limits = { memory: new DecompressedMemory(1_000_000), responseMaxBytes: 1_000_000 }
    const bytes = Buffer.concat([batchAt(0, ['a']), bomb, batchAt(2, ['b'])])
    const { records, unreadable } = readAcquired(bytes, [range(0, 0), range(2, 2)], new DecompressionAllowance(limits))
    expect([records.map(({ record }) => record.offset), unreadable]).to.deep.equal([[0, 2], []])
  })

  it('of a batch with an unknown codec cannot be read, and those behind it can', () => {
    const unknown = batchAt(1, ['x'], {}, withFlags(7))
    expect(unknown.readUInt32BE(17)).to.equal(crc32c(unknown.subarray(21)))
    expect(read([batchAt(0, ['a']), unknown, batchAt(2, ['b'])], range(0, 2))).to.deep.equal({
      ...none,
      records: ['0:a 1', '2:b 1'],
      unreadable: ['1-1']
    })
  })
})
