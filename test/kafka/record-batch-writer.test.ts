import { expect } from 'chai'
import fc from 'fast-check'
import type { Bytes, RecordHeader } from '../../src/core/model.js'
import { crc32c } from '../../src/kafka/crc32c.js'
import {
  BatchBufferPool,
  noProducer,
  RecordBatchWriter,
  resealBatch,
  sizeOfEncodedRecord
} from '../../src/kafka/record-batch-writer.js'
import { readBack } from '../../src/kafka/record-reader.js'
import { decodeWithKafkajs } from './kafkajs-records.js'

const now = 1_700_000_000_000
const plain = { ...noProducer, codec: 'none' } as const
const bytesOf = (bytes: Bytes): Buffer | null => (typeof bytes === 'string' ? Buffer.from(bytes) : bytes)

const bytes: fc.Arbitrary<Bytes> = fc.oneof(
  fc.constant(null),
  fc.constant(''),
  fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array)),
  fc.string({ unit: 'binary', maxLength: 100 }),
  fc.string({ unit: 'grapheme', maxLength: 100 }),
  fc.constantFrom('\u0000', '\ud800', '__proto__', 'é'.repeat(30), 'x'.repeat(8192))
)
const record = fc.record({
  key: bytes,
  value: bytes,
  timestampMs: fc.integer({ min: now - 2 ** 40, max: now + 2 ** 40 })
})

describe('RecordBatchWriter', () => {
  it('writes what kafkajs reads back identically, 10,000 random keys and values', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 100, maxLength: 200 }), async records => {
        const writer = new RecordBatchWriter(100_000_000)
        for (const { key, value, timestampMs } of records)
          expect(writer.append(key, value, [], timestampMs)).to.equal(true)
        const decoded = await decodeWithKafkajs(writer.seal(plain))
        expect(decoded.records.map(({ key, value, timestamp }) => ({ key, value, timestamp }))).to.deep.equal(
          records.map(({ key, value, timestampMs }) => ({
            key: bytesOf(key),
            value: bytesOf(value),
            timestamp: String(timestampMs)
          }))
        )
        expect(decoded).to.deep.include({
          firstTimestamp: String(records[0]!.timestampMs),
          maxTimestamp: String(records.reduce((max, { timestampMs }) => Math.max(max, timestampMs), -Infinity))
        })
      }),
      { numRuns: 100 }
    )
  })

  it('keeps null apart from empty, in keys, values and header values', async () => {
    const writer = new RecordBatchWriter(1000)
    writer.append(null, '', [{ key: '', value: Buffer.alloc(0) }], now)
    writer.append('', null, [{ key: 'h', value: null }], now)
    const [first, second] = (await decodeWithKafkajs(writer.seal(plain))).records
    expect([first!.key, first!.value, first!.headers]).to.deep.equal([null, Buffer.alloc(0), { '': Buffer.alloc(0) }])
    expect([second!.key, second!.value, second!.headers]).to.deep.equal([Buffer.alloc(0), null, { h: null }])
  })

  it('writes headers in order, repeated keys included', async () => {
    const headers: RecordHeader[] = ['1', '2', 'ü'].map(text => ({ key: 'again', value: Buffer.from(text) }))
    const writer = new RecordBatchWriter(1000)
    writer.append('k', 'v', headers, now)
    const [decoded] = (await decodeWithKafkajs(writer.seal(plain))).records
    expect(decoded!.headers).to.deep.equal({ again: headers.map(({ value }) => value) })
  })

  it('names producer, epoch and sequence, and covers itself with a CRC', async () => {
    const writer = new RecordBatchWriter(1000)
    writer.append('k', 'v', [], now)
    const batch = writer.seal({ producerId: 2n ** 40n, producerEpoch: 5, baseSequence: 77, codec: 'none' })
    expect(await decodeWithKafkajs(batch)).to.deep.include({
      firstOffset: '0',
      producerId: String(2 ** 40),
      producerEpoch: 5,
      firstSequence: 77,
      lastOffsetDelta: 0
    })
    expect(batch.readUInt32BE(17)).to.equal(crc32c(batch.subarray(21)))
    expect(batch.readInt32BE(8)).to.equal(batch.length - 12)
  })

  it('refuses what does not fit and stays as it was', async () => {
    const fits = 61 + sizeOfEncodedRecord('key', 'value')
    const writer = new RecordBatchWriter(fits + 5)
    expect(writer.append('key', 'value', [], now)).to.equal(true)
    expect(writer.append('key', 'value', [], now)).to.equal(false)
    expect([writer.count, writer.sizeBytes]).to.deep.equal([1, fits])
    expect((await decodeWithKafkajs(writer.seal(plain))).records).to.have.length(1)
    expect(new RecordBatchWriter(fits - 1).append('key', 'value', [], now)).to.equal(false)
  })

  it('tells the size of a record before it is written', () => {
    fc.assert(
      fc.property(
        bytes,
        bytes,
        fc.array(fc.record({ key: fc.string(), value: fc.constant(Buffer.from('x')) })),
        (key, value, headers) => {
          const writer = new RecordBatchWriter(100_000)
          writer.append(key, value, headers, now)
          expect(writer.sizeBytes).to.equal(61 + sizeOfEncodedRecord(key, value, headers))
        }
      )
    )
  })

  it('copies at once: the caller may reuse its buffer', async () => {
    const value = Buffer.from('before')
    const writer = new RecordBatchWriter(1000)
    writer.append(null, value, [], now)
    value.write('behind')
    expect((await decodeWithKafkajs(writer.seal(plain))).records[0]!.value!.toString()).to.equal('before')
  })

  it('starts over after sealing and never touches the sealed bytes again', () => {
    const writer = new RecordBatchWriter(1000)
    writer.append('k', 'first', [], now)
    const batch = writer.seal(plain)
    const before = Buffer.from(batch)
    expect([writer.count, writer.sizeBytes]).to.deep.equal([0, 61])
    writer.append('k', 'other', [], now)
    writer.seal(plain)
    expect(batch).to.deep.equal(before)
    expect(() => writer.seal(plain)).to.throw(RangeError)
  })

  it('can be sealed again under another epoch and sequence, the first copy left alone', async () => {
    const writer = new RecordBatchWriter(1000)
    writer.append('k', 'v', [], now)
    const batch = writer.seal({ producerId: 9n, producerEpoch: 0, baseSequence: 12, codec: 'none' })
    const again = resealBatch(batch, { producerId: 9n, producerEpoch: 1, baseSequence: 0 })
    expect(await decodeWithKafkajs(again)).to.deep.include({ producerEpoch: 1, firstSequence: 0 })
    expect(again.readUInt32BE(17)).to.equal(crc32c(again.subarray(21)))
    expect(await decodeWithKafkajs(batch)).to.deep.include({ producerEpoch: 0, firstSequence: 12 })
  })

  it('reuses buffers that are given back, each once', () => {
    const batchBuffers = new BatchBufferPool(1_000_000)
    const writer = new RecordBatchWriter(100_000, batchBuffers)
    writer.append(null, 'x'.repeat(5000), [], now)
    const batch = writer.seal(plain)
    const freeBytes = batchBuffers.freeBytes
    writer.release(Buffer.alloc(8192))
    writer.release(Buffer.from(batch))
    expect(batchBuffers.freeBytes).to.equal(freeBytes)
    writer.release(batch)
    writer.release(batch)
    expect(batchBuffers.freeBytes).to.equal(freeBytes + 8192)
    writer.append(null, 'x'.repeat(5000), [], now)
    expect(batchBuffers.freeBytes).to.equal(freeBytes)
    const next = writer.seal(plain)
    expect([next.buffer, next.byteOffset]).to.deep.equal([batch.buffer, batch.byteOffset])
    writer.append(null, 'x', [], now)
    writer.release(batch)
    expect(batchBuffers.freeBytes, 'the writer has begun another batch').to.equal(freeBytes - 8192)
  })

  it('keeps no more buffers than it may', () => {
    const batchBuffers = new BatchBufferPool(200_000)
    const sizes = [1, 1_024, 1_281, 4_096, 4_097, 65_536].map(bytes => new BatchBufferPool(0).take(bytes).bytes.length)
    expect(sizes).to.deep.equal([1_024, 1_024, 1_536, 4_096, 8_192, 65_536])
    const taken = [65_536, 65_537, 65_536].map(bytes => batchBuffers.take(bytes))
    expect(taken.map(({ bytes }) => bytes.length)).to.deep.equal([65_536, 131_072, 65_536])
    for (const batchBuffer of taken) batchBuffers.give(batchBuffer)
    expect(batchBuffers.freeBytes).to.equal(65_536 + 131_072)
    const tooLarge = batchBuffers.take(200_001)
    expect(tooLarge.bytes.length, 'memory for one use is not rounded up').to.equal(200_001)
    batchBuffers.give(tooLarge)
    expect(batchBuffers.freeBytes).to.equal(65_536 + 131_072)
  })

  it('takes small buffers from memory that they share, none of it twice, and drops the memory that no batch uses', () => {
    const batchBuffers = new BatchBufferPool(0)
    const taken = Array.from({ length: 200 }, (_, at) => batchBuffers.take(at < 100 ? 1 : 1025))
    expect(new Set(taken.map(({ bytes }) => bytes.length))).to.deep.equal(new Set([1024, 1280]))
    expect(new Set(taken.map(({ bytes }) => bytes.buffer)).size).to.be.below(8)
    taken.forEach((batchBuffer, at) => void batchBuffer.bytes.fill(at))
    taken.forEach((batchBuffer, at) => void expect(batchBuffer.bytes.every(byte => byte === at)).to.equal(true))
    const used = taken.reduce((sum, { bytes }) => sum + bytes.length, 0)
    expect(batchBuffers.freeBytes).to.be.below(used)
    batchBuffers.give(taken[5]!)
    batchBuffers.give(taken[5]!)
    expect(batchBuffers.take(1024), 'given back once, so taken once').to.equal(taken[5])
    expect(taken).to.not.include(batchBuffers.take(1024))
    for (const batchBuffer of [...taken, ...taken]) batchBuffers.give(batchBuffer)
    expect(batchBuffers.freeBytes, 'of the memory of the last one').to.be.below(65_536)
  })

  it('keeps little memory beside buffers that are never given back', () => {
    const batchBuffers = new BatchBufferPool(100_000)
    const taken = Array.from({ length: 8_192 }, () => batchBuffers.take(1_024))
    taken.forEach((batchBuffer, at) => void (at % 64 > 0 && batchBuffers.give(batchBuffer)))
    expect(batchBuffers.freeBytes).to.be.below(1_400_000)
    for (const batchBuffer of taken) batchBuffers.give(batchBuffer)
    const again = Array.from({ length: 8_192 }, () => batchBuffers.take(1_024))
    expect(new Set(again).size, 'none is lent twice').to.equal(again.length)
    for (const batchBuffer of again) batchBuffers.give(batchBuffer)
    expect(batchBuffers.freeBytes).to.be.at.most(1_400_000)
  })
})

describe('readBack', () => {
  for (const codec of ['none', 'gzip'] as const) {
    it(`gives what was written (${codec})`, () => {
      const headers = [
        { key: 'h', value: Buffer.from('x') },
        { key: 'h', value: null }
      ]
      const writer = new RecordBatchWriter(1_000_000)
      for (let index = 0; index < 301; index++) writer.append(`k${index}`, 'v'.repeat(index), headers, now + index)
      writer.append(null, null, [], now - 1)
      const written = readBack(writer.seal({ producerId: 3n, producerEpoch: 1, baseSequence: 40, codec }))
      expect(written).to.deep.equal([
        ...Array.from({ length: 301 }, (_, index) => ({
          key: Buffer.from(`k${index}`),
          value: Buffer.from('v'.repeat(index)),
          headers
        })),
        { key: null, value: null, headers: [] }
      ])
    })
  }
})
