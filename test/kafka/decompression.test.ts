import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import type { RecordBatch } from '../../src/core/model.js'
import { type CompressionCodec, decompress, prepareCompression } from '../../src/kafka/compression.js'
import { DecompressionLimitError } from '../../src/kafka/compression-errors.js'
import { DecompressedMemory } from '../../src/kafka/decompressed-memory.js'
import { decodeFetchedRecords, type FetchedRecords } from '../../src/kafka/fetched-records.js'
import { DecompressionAllowance } from '../../src/kafka/packed-records.js'
import { noProducer, RecordBatchWriter } from '../../src/kafka/record-batch-writer.js'
import { concatBatches } from '../../src/kafka/record-batches.js'
import { turns } from '../support/ticks.js'
import { batchAt } from './sample-responses.js'

const KIB = 1024
const MIB = 1024 * KIB
const codecs: CompressionCodec[] = ['gzip', 'snappy', 'lz4', 'zstd']

/** `records` records of 10 KiB each, key and value, that compress to next to nothing. */
const bombAt = (baseOffset: number, records: number, codec: CompressionCodec): Buffer =>
  batchAt(
    baseOffset,
    Array.from({ length: records }, () => 'x'.repeat(5 * KIB)),
    { codec }
  )

const read = (bytes: Buffer, allowance: DecompressionAllowance, fetchOffset = 0): FetchedRecords =>
  decodeFetchedRecords(bytes, { fetchOffset, abortedTransactions: [], allowance })
const valuesOf = (batch: RecordBatch): string[] => [...batch].map(({ offset, value }) => `${offset}:${value}`)

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

describe('decompression', () => {
  before(prepareCompression)

  it('decompresses no more than 16 MiB behind the first batch in one turn of the event loop', () => {
    const limits = { memory: new DecompressedMemory(128 * MIB), responseMaxBytes: 64 * MIB }
    const large = Array.from({ length: 4 }, (_, at) => bombAt(at * 900, 900, 'zstd'))
    const whole = read(Buffer.concat(large), new DecompressionAllowance(limits))
    expect(whole.batches.map(({ nextOffset }) => nextOffset)).to.deep.equal([900])
    expect(whole).to.deep.include({ isLeftOut: true, tooLarge: undefined, corruption: undefined })
    expect(read(large[1]!, new DecompressionAllowance(limits), 900).batches).to.have.length(1)
    const small = Array.from({ length: 40 }, (_, at) => bombAt(at * 100, 100, 'zstd'))
    const most = read(Buffer.concat(small), new DecompressionAllowance(limits))
    expect(most.isLeftOut).to.equal(true)
    expect(most.nextOffset * 10 * KIB).to.be.within(15 * MIB, 17 * MIB)
  })

  for (const codec of ['none', 'gzip'] as const) {
    it(`says that a record is too large whose headers would take more than a batch may (${codec})`, () => {
      const limits = { memory: new DecompressedMemory(2 * MIB), responseMaxBytes: MIB }
      const batchOf = (headers: number): Buffer => {
        const writer = new RecordBatchWriter(10_000_000)
        writer.append(
          'key',
          'value',
          Array.from({ length: headers }, () => ({ key: '', value: null })),
          0
        )
        return Buffer.from(writer.seal({ ...noProducer, codec }))
      }
      const few = read(batchOf(4_000), new DecompressionAllowance(limits))
      expect([...few.batches[0]!][0]!.headers).to.have.length(4_000)
      const { tooLarge, batches } = read(batchOf(5_000), new DecompressionAllowance(limits))
      expect(batches).to.deep.equal([])
      expect(tooLarge).to.deep.include({ offset: 0, nextOffset: 1, maxBytes: MIB })
    })
  }

  for (const codec of codecs) {
    it(`of one response ends where it may be no larger, and the rest is left out (${codec})`, () => {
      const memory = new DecompressedMemory(10 * MIB)
      const allowance = new DecompressionAllowance({ memory, responseMaxBytes: MIB })
      const bomb = bombAt(0, 50, codec)
      const partitions = Array.from({ length: 40 }, () => read(bomb, allowance))
      expect(partitions.filter(({ batches }) => batches.length > 0)).to.have.length(2)
      expect(partitions.filter(({ isLeftOut }) => isLeftOut)).to.have.length(38)
      expect(partitions.filter(({ corruption, tooLarge }) => corruption ?? tooLarge)).to.deep.equal([])
      expect(partitions[39]).to.deep.include({ nextOffset: 0, hasPartialBatch: false })
      expect(memory.heldBytes).to.be.within(1_000_000, MIB)
    })

    it(`names a batch that alone would be too much, and delivers those before it (${codec})`, () => {
      const limits = { memory: new DecompressedMemory(10 * MIB), responseMaxBytes: MIB }
      const bytes = Buffer.concat([bombAt(0, 5, codec), bombAt(5, 150, codec), bombAt(155, 5, codec)])
      const first = read(bytes, new DecompressionAllowance(limits))
      expect(first.batches.map(({ nextOffset }) => nextOffset)).to.deep.equal([5])
      expect(first).to.deep.include({ nextOffset: 5, isLeftOut: true, tooLarge: undefined })
      const alone = read(bytes, new DecompressionAllowance(limits), 5)
      expect(alone).to.deep.include({ batches: [], nextOffset: 5, isLeftOut: false, corruption: undefined })
      expect(alone.tooLarge).to.deep.include({ offset: 5, nextOffset: 155, maxBytes: MIB })
      expect(read(bytes, new DecompressionAllowance(limits), 155).batches).to.have.length(1)
    })

    it(`of a small batch keeps little more memory than its records take (${codec})`, () => {
      const allowance = new DecompressionAllowance({ memory: new DecompressedMemory(MIB), responseMaxBytes: MIB })
      const values = Array.from({ length: 100 }, (_, offset) => {
        const { batches } = read(batchAt(offset, ['x'.repeat(100)], { codec }), allowance, offset)
        return batches[0]!.at(0).value!
      })
      const memories = new Set(values.map(({ buffer }) => buffer))
      const bytes = Array.from(memories, memory => memory.byteLength).reduce((sum, one) => sum + one, 0)
      // 20,000 bytes of keys and values.
      expect(bytes).to.be.at.most(40 * KIB)
    })

    it(`holds no more than the memory for all batches together, and reads them right (${codec})`, () => {
      const memory = new DecompressedMemory(MIB)
      const batches: RecordBatch[] = []
      for (let at = 0; at < 40; at++) {
        const allowance = new DecompressionAllowance({ memory, responseMaxBytes: MIB })
        const values = Array.from({ length: 30 }, (_, index) => `${at}-${index} ${'y'.repeat(5 * KIB)}`)
        batches.push(...read(batchAt(at * 30, values, { codec }), allowance, at * 30).batches)
        expect(memory.heldBytes).to.be.within(300 * KIB, MIB)
      }
      const held = batches.reduce((sum, { heapBytes = 0 }) => sum + heapBytes, 0)
      expect(held, 'what the batches hold themselves is compressed').to.be.lessThan(2 * MIB)
      const all = concatBatches(batches)
      expect([...all].map(({ offset }) => offset)).to.deep.equal(Array.from({ length: 1_200 }, (_, offset) => offset))
      expect(
        [...all].every(({ offset, value }) =>
          value!.toString('latin1', 0, 8).startsWith(`${Math.floor(offset / 30)}-${offset % 30} `)
        )
      ).to.equal(true)
      expect(memory.heldBytes).to.be.at.most(MIB)
      const slice = batches[3]!.sliceFrom(110)!
      expect([slice.recordCount, slice.at(0).offset, slice.at(9).offset]).to.deep.equal([10, 110, 119])
    })

    it(`takes limits of many GiB, and of half bytes, for no damage (${codec})`, () => {
      const memory = new DecompressedMemory(12 * KIB * MIB)
      const read12 = read(bombAt(0, 5, codec), new DecompressionAllowance({ memory, responseMaxBytes: 6 * KIB * MIB }))
      expect(read12).to.deep.include({ corruption: undefined, tooLarge: undefined })
      expect(valuesOf(read12.batches[0]!)).to.have.length(5)
      const half = new DecompressionAllowance({ memory, responseMaxBytes: MIB + 0.5 })
      expect(read(bombAt(0, 150, codec), half).tooLarge).to.include({ maxBytes: MIB + 1 })
    })

    it(`tells what is too much from damage (${codec})`, () => {
      const packed = bombAt(0, 100, codec).subarray(61)
      expect(() => decompress(codec, packed, 100 * KIB)).to.throw(DecompressionLimitError)
      expect(() => decompress(codec, packed.subarray(0, packed.length - 9), 10 * MIB))
        .to.throw()
        .that.is.not.instanceOf(DecompressionLimitError)
    })
  }

  it('is shared by many readers of one batch; who reads while memory is short reads on', () => {
    const memory = new DecompressedMemory(MIB)
    const limits = { memory, responseMaxBytes: MIB }
    const [batch] = read(bombAt(0, 50, 'gzip'), new DecompressionAllowance(limits)).batches
    const held = memory.heldBytes
    const readers = Array.from({ length: 100 }, () => batch![Symbol.iterator]())
    for (const reader of readers) expect(reader.next().value.offset).to.equal(0)
    expect(memory.heldBytes).to.equal(held)
    const other = read(bombAt(100, 60, 'gzip'), new DecompressionAllowance(limits), 100).batches[0]!
    expect(memory.heldBytes, 'the other has taken the memory').to.be.within(600 * KIB, 650 * KIB)
    for (const reader of readers) expect(reader.next().value.value).to.have.length(5 * KIB)
    expect(memory.heldBytes).to.be.at.most(MIB)
    expect(valuesOf(other)).to.have.length(60)
  })

  it('lets the least recently read batch go first', () => {
    const memory = new DecompressedMemory(MIB)
    const limits = { memory, responseMaxBytes: MIB }
    const [old, recent] = [0, 40].map(
      offset => read(bombAt(offset, 40, 'zstd'), new DecompressionAllowance(limits), offset).batches[0]!
    )
    expect(valuesOf(old!)).to.have.length(40)
    const record = old!.at(0)
    const third = read(bombAt(80, 40, 'zstd'), new DecompressionAllowance(limits), 80).batches[0]!
    expect(old!.at(0).value!.buffer, 'still the same bytes').to.equal(record.value!.buffer)
    expect(valuesOf(recent!)).to.have.length(40)
    expect(valuesOf(third)).to.have.length(40)
  })

  it('gets back what a batch took when nobody holds the batch any more', async () => {
    const seen: number[] = []
    const memory = new DecompressedMemory(10 * MIB, bytes => seen.push(bytes))
    const limits = { memory, responseMaxBytes: MIB }
    let batches: RecordBatch[] = []
    for (let at = 0; at < 5; at++) {
      batches.push(...read(bombAt(0, 50, 'lz4'), new DecompressionAllowance(limits)).batches)
    }
    const kept = batches[2]!
    const each = memory.heldBytes / 5
    batches = []
    for (let attempt = 0; attempt < 50 && memory.heldBytes > each; attempt++) {
      collectGarbage()
      await turns(5)
    }
    expect(memory.heldBytes).to.equal(each)
    expect(seen.at(-1)).to.equal(each)
    expect(kept.at(49).offset).to.equal(49)
  })

  it('costs no more work for damaged batches than for good ones: one, and the rest is left out', () => {
    const allowance = new DecompressionAllowance({ memory: new DecompressedMemory(10 * MIB), responseMaxBytes: MIB })
    // One record more than the header says.
    const damaged = batchAt(0, ['a'.repeat(KIB), 'b'], { codec: 'gzip' }, batch => batch.writeInt32BE(1, 57))
    expect(read(damaged, allowance).corruption).to.deep.include({ offset: 0 })
    expect(read(bombAt(0, 5, 'gzip'), allowance)).to.deep.include({ isLeftOut: true, corruption: undefined })
  })

  it('takes sizes that lie for damage, whatever they claim', () => {
    const limit = 8 * MIB
    const gzip = Buffer.from(gzipSync(Buffer.alloc(1000)))
    gzip.writeUInt32LE(0xffffffff, gzip.length - 4)
    expect(() => decompress('gzip', gzip, limit), 'gzip trailer').to.throw()
    // A frame of zstd that claims 2^40 bytes and holds a run of one.
    const zstd = Buffer.from('28b52ffde000000000000100000b00007a', 'hex')
    expect(() => decompress('zstd', zstd, limit), 'zstd header').to.throw('claims')
    // lz4 with the size in its header: 2^40 instead of 5. The checksum of the header is right.
    const lz4 = Buffer.from('04224d1868400000000000010000', 'hex')
    const header = Buffer.concat([lz4, Buffer.from('00', 'hex')])
    expect(() =>
      decompress('lz4', Buffer.concat([header, Buffer.from('0500008068656c6c6f00000000', 'hex')]), limit)
    ).to.throw()
    expect(() => decompress('snappy', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x07, 0x00, 0x61]), limit)).to.throw(
      'more than it can hold'
    )
    expect(() => decompress('snappy', Buffer.from([0x05, 0x00, 0x61]), limit)).to.throw('damaged')
  })
})
