import { expect } from 'chai'
import fc from 'fast-check'
import type { RecordBatch } from '../../src/core/model.js'
import { prepareCompression } from '../../src/kafka/compression.js'
import { crc32c } from '../../src/kafka/crc32c.js'
import { decodeFetchedRecords } from '../../src/kafka/fetched-records.js'
import { noProducer, RecordBatchWriter } from '../../src/kafka/record-batch-writer.js'
import { concatBatches } from '../../src/kafka/record-batches.js'
import { allowance } from './allowance.js'
import { encodeWithKafkajs } from './kafkajs-records.js'
import { batchAt } from './sample-responses.js'

const CONTROL = 0x20
const TRANSACTIONAL = 0x10
const now = 1_700_000_000_000

const read = (
  bytes: Buffer,
  fetchOffset = 0,
  abortedTransactions: { producerId: bigint; firstOffset: number }[] = []
) => decodeFetchedRecords(bytes, { fetchOffset, abortedTransactions, allowance: allowance() })
const valuesOf = (batches: readonly RecordBatch[]) =>
  batches.map(batch => [...batch].map(({ offset, value }) => `${offset}:${value}`))
const withFlags = (flags: number) => (batch: Buffer) => batch.writeInt16BE(batch.readInt16BE(21) | flags, 21)
/** A batch whose records have all been compacted away: its header only. */
function emptyBatch(baseOffset: number, lastOffsetDelta: number): Buffer {
  const batch = Buffer.from(batchAt(baseOffset, ['x']).subarray(0, 61))
  batch.writeInt32BE(49, 8)
  batch.writeInt32BE(lastOffsetDelta, 23)
  batch.writeInt32BE(0, 57)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

describe('decodeFetchedRecords', () => {
  before(prepareCompression)

  it('delivers batches in order, with offsets, times, keys, values and headers', () => {
    const fetched = read(Buffer.concat([batchAt(10, ['a', 'b']), batchAt(12, ['c'])]), 10)
    expect(valuesOf(fetched.batches)).to.deep.equal([['10:a', '11:b'], ['12:c']])
    expect(fetched).to.deep.include({ nextOffset: 13, hasPartialBatch: false, corruption: undefined })
    const batch = fetched.batches[0]!
    expect(batch).to.deep.include({ offset: 10, maxOffset: 11, nextOffset: 12, recordCount: 2 })
    expect(batch.at(1)).to.deep.equal({
      offset: 11,
      timestampMs: now,
      key: Buffer.from('key of b'),
      value: Buffer.from('b'),
      headers: [{ key: 'h', value: null }]
    })
    expect(() => batch.at(2)).to.throw(RangeError)
    expect(() => batch.at(-1)).to.throw(RangeError)
  })

  it('reads what kafkajs writes', async () => {
    const bytes = await encodeWithKafkajs([
      { key: 'k', value: null, offsetDelta: 0, timestampDelta: -5, headers: { a: Buffer.from('1'), b: '' } },
      { key: null, value: '', offsetDelta: 1, timestampDelta: 2 ** 40 }
    ])
    expect([...read(bytes).batches[0]!]).to.deep.equal([
      {
        offset: 0,
        timestampMs: now - 5,
        key: Buffer.from('k'),
        value: null,
        headers: [
          { key: 'a', value: Buffer.from('1') },
          { key: 'b', value: Buffer.alloc(0) }
        ]
      },
      { offset: 1, timestampMs: now + 2 ** 40, key: null, value: Buffer.alloc(0), headers: [] }
    ])
  })

  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
    it(`gives back what was written, 10,000 random keys, values and headers (${codec})`, () => {
      const bytes = fc.option(fc.uint8Array({ maxLength: 60 }).map(array => Buffer.from(array)))
      const record = fc.record({
        key: bytes,
        value: bytes,
        headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme' }), value: bytes }), { maxLength: 3 }),
        timestampMs: fc.integer({ min: 0, max: 2 ** 45 })
      })
      fc.assert(
        fc.property(fc.array(record, { minLength: 200, maxLength: 220 }), records => {
          const writer = new RecordBatchWriter(10_000_000)
          for (const { key, value, headers, timestampMs } of records) writer.append(key, value, headers, timestampMs)
          const fetched = read(writer.seal({ ...noProducer, codec }))
          expect([...fetched.batches[0]!]).to.deep.equal(records.map((record, offset) => ({ offset, ...record })))
        }),
        { numRuns: 50 }
      )
    })
  }

  it('drops records before the fetch offset, and batches that end before it', () => {
    const bytes = Buffer.concat([batchAt(0, ['a', 'b']), batchAt(2, ['c', 'd', 'e'])])
    expect(valuesOf(read(bytes, 3).batches)).to.deep.equal([['3:d', '4:e']])
    expect(read(bytes, 9)).to.deep.include({ batches: [], nextOffset: 9 })
  })

  it('leaves a batch cut at the tail alone, wherever it is cut', () => {
    const whole = batchAt(0, ['a'])
    const cut = batchAt(1, ['b', 'c'])
    for (let length = 1; length < cut.length; length++) {
      const fetched = read(Buffer.concat([whole, cut.subarray(0, length)]))
      expect(valuesOf(fetched.batches)).to.deep.equal([['0:a']])
      expect(fetched).to.deep.include({ nextOffset: 1, hasPartialBatch: true, corruption: undefined })
    }
    expect(read(cut.subarray(0, 30), 1)).to.deep.include({ batches: [], nextOffset: 1, hasPartialBatch: true })
  })

  it('passes empty batches and compacted tails by lastOffsetDelta', () => {
    const compacted = batchAt(20, ['x'], {}, batch => batch.writeInt32BE(9, 23))
    const fetched = read(Buffer.concat([emptyBatch(10, 9), compacted, emptyBatch(30, 4)]), 10)
    expect(valuesOf(fetched.batches)).to.deep.equal([['20:x']])
    expect(fetched.nextOffset).to.equal(35)
    expect(fetched.batches[0]!.nextOffset).to.equal(35)
    expect(read(emptyBatch(10, 9), 12)).to.deep.include({ batches: [], nextOffset: 20 })
  })

  it('reads batches with holes', async () => {
    const bytes = await encodeWithKafkajs(
      [3, 4, 9].map(offsetDelta => ({ key: null, value: `v${offsetDelta}`, offsetDelta, timestampDelta: 0 })),
      { lastOffsetDelta: 11 }
    )
    const fetched = read(bytes)
    const batch = fetched.batches[0]!
    expect(valuesOf(fetched.batches)).to.deep.equal([['3:v3', '4:v4', '9:v9']])
    expect(batch).to.deep.include({ offset: 3, maxOffset: 9, nextOffset: 12, recordCount: 3 })
    expect(valuesOf([batch.sliceFrom(5)!])).to.deep.equal([['9:v9']])
    expect(valuesOf(read(bytes, 5).batches)).to.deep.equal([['9:v9']])
    expect(read(bytes, 10)).to.deep.include({ batches: [], nextOffset: 12 })
  })

  it('skips control batches', () => {
    const bytes = Buffer.concat([
      batchAt(0, ['a']),
      batchAt(1, ['c'], {}, withFlags(CONTROL | TRANSACTIONAL)),
      batchAt(2, ['b'])
    ])
    expect(valuesOf(read(bytes).batches)).to.deep.equal([['0:a'], ['2:b']])
    expect(read(bytes).batches.map(batch => batch.nextOffset)).to.deep.equal([2, 3])
  })

  it('skips aborted transactions of their producer from their first offset to their marker, and no others', () => {
    const of = (producerId: bigint, flags = TRANSACTIONAL) => [{ producerId }, withFlags(flags)] as const
    const bytes = Buffer.concat([
      batchAt(0, ['before'], ...of(7n)),
      batchAt(1, ['marker'], ...of(7n, CONTROL | TRANSACTIONAL)),
      batchAt(2, ['aborted'], ...of(7n)),
      batchAt(3, ['other'], ...of(8n)),
      batchAt(4, ['plain'], { producerId: 7n }),
      batchAt(5, ['aborted too'], ...of(7n)),
      batchAt(6, ['marker'], ...of(7n, CONTROL | TRANSACTIONAL)),
      batchAt(7, ['after'], ...of(7n))
    ])
    const aborted = [
      { producerId: 9n, firstOffset: 1000 },
      { producerId: 7n, firstOffset: 2 }
    ]
    expect(valuesOf(read(bytes, 0, aborted).batches).flat()).to.deep.equal([
      '0:before',
      '3:other',
      '4:plain',
      '7:after'
    ])
    expect(valuesOf(read(bytes, 0).batches).flat()).to.have.length(6)
  })

  it('takes the time of the batch where the topic uses LogAppendTime', () => {
    const bytes = batchAt(0, ['a'], {}, batch => {
      withFlags(0x08)(batch)
      batch.writeBigInt64BE(123456789n, 35)
    })
    expect(read(bytes).batches[0]!.at(0).timestampMs).to.equal(123456789)
  })

  it('owns its bytes', () => {
    const bytes = batchAt(0, ['a', 'b'])
    const fetched = read(bytes)
    bytes.fill(0)
    expect(valuesOf(fetched.batches)).to.deep.equal([['0:a', '1:b']])
  })

  it('takes a batch of 130,000 records', () => {
    const writer = new RecordBatchWriter(10_000_000)
    for (let index = 0; index < 130_000; index++) writer.append(null, String(index), undefined, now)
    const fetched = read(writer.seal({ ...noProducer, codec: 'none' }))
    expect(fetched.batches[0]!.at(129_999).value!.toString()).to.equal('129999')
  })

  describe('damage', () => {
    const good = batchAt(0, ['a', 'b'])
    const bad = () => Buffer.from(batchAt(2, ['c', 'd', 'e']))
    const after = batchAt(5, ['f'])

    it('is found at any flipped bit behind the CRC, and what lies before is delivered', () => {
      const whole = bad()
      for (let bit = 17 * 8; bit < whole.length * 8; bit++) {
        const damaged = Buffer.from(whole)
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        const fetched = read(Buffer.concat([good, damaged, after]))
        expect(valuesOf(fetched.batches), `bit ${bit}`).to.deep.equal([['0:a', '1:b']])
        expect(fetched.corruption, `bit ${bit}`).to.deep.include({ offset: 2, nextOffset: 5 })
        expect(fetched.nextOffset).to.equal(2)
      }
    })

    it('lets reading go on at the next whole batch', () => {
      const damaged = bad()
      damaged[70]! ^= 1
      expect(read(Buffer.concat([damaged, after]), 3).corruption).to.deep.include({ offset: 3, nextOffset: 5 })
    })

    it('lets reading go on behind the last offset when the header agrees with itself', () => {
      const damaged = bad()
      damaged[70]! ^= 1
      expect(read(damaged, 2).corruption).to.deep.include({ offset: 2, nextOffset: 5 })
    })

    it('lets reading go on one offset further when nothing can be believed', () => {
      const damaged = bad()
      damaged.writeInt32BE(77, 23)
      expect(read(damaged, 2).corruption).to.deep.include({ offset: 2, nextOffset: 3 })
      const length = bad()
      length.writeInt32BE(3, 8)
      length.writeInt32BE(-1, 23)
      expect(read(length, 2).corruption).to.deep.include({ offset: 2, nextOffset: 3 })
    })

    it('is named where the message format is an old one', () => {
      const old = bad()
      old[16] = 1
      expect(read(old, 2).corruption!.reason).to.contain('message format 1')
    })

    it('is found where records are not what the header says, even under a right CRC', () => {
      const changes: Record<string, (batch: Buffer) => void> = {
        'more records than there are': batch => batch.writeInt32BE(4, 57),
        'fewer records than there are': batch => batch.writeInt32BE(2, 57),
        'negative record count': batch => batch.writeInt32BE(-1, 57),
        'offsets beyond the last': batch => batch.writeInt32BE(1, 23),
        'negative last offset': batch => batch.writeInt32BE(-1, 23),
        'record length too large': batch => batch.writeUInt8(0x7e, 61),
        'unknown codec': batch => batch.writeInt16BE(7, 21),
        'not compressed at all': batch => batch.writeInt16BE(1, 21),
        'not snappy': batch => batch.writeInt16BE(2, 21),
        'not lz4': batch => batch.writeInt16BE(3, 21),
        'not zstd': batch => batch.writeInt16BE(4, 21),
        'negative base offset': batch => batch.writeBigInt64BE(-5n),
        'base offset beyond 2^53': batch => batch.writeBigInt64BE(2n ** 60n)
      }
      for (const [name, change] of Object.entries(changes)) {
        const fetched = read(batchAt(2, ['c', 'd', 'e'], {}, change), 2)
        expect(fetched.batches, name).to.deep.equal([])
        expect(fetched.corruption!.nextOffset, name).to.be.greaterThan(2)
      }
    })
  })
})

describe('slices and joins', () => {
  const batches = () =>
    read(Buffer.concat([batchAt(0, ['a', 'b', 'c']), batchAt(3, ['d']), batchAt(4, ['e', 'f'])])).batches

  it('a slice is the tail from an offset, itself at its first, nothing outside', () => {
    const [batch] = batches()
    expect(valuesOf([batch!.sliceFrom(1)!])).to.deep.equal([['1:b', '2:c']])
    expect(batch!.sliceFrom(0)).to.equal(batch)
    expect(batch!.sliceFrom(3)).to.equal(undefined)
    const tail = batch!.sliceFrom(1)!
    expect(tail).to.deep.include({ offset: 1, maxOffset: 2, nextOffset: 3, recordCount: 2 })
    expect(tail.sliceFrom(0)).to.equal(undefined)
    expect(tail.sizeBytes).to.be.lessThan(batch!.sizeBytes)
  })

  it('a join reads as one batch', () => {
    const joined = concatBatches(batches())
    expect(valuesOf([joined])).to.deep.equal([['0:a', '1:b', '2:c', '3:d', '4:e', '5:f']])
    expect(joined).to.deep.include({ offset: 0, maxOffset: 5, nextOffset: 6, recordCount: 6 })
    expect([0, 2, 3, 4, 5].map(index => joined.at(index).value!.toString())).to.deep.equal(['a', 'c', 'd', 'e', 'f'])
    expect(() => joined.at(6)).to.throw(RangeError)
    expect(joined.sizeBytes).to.equal(batches().reduce((sum, batch) => sum + batch.sizeBytes, 0))
  })

  it('a join is sliced like a batch', () => {
    const joined = concatBatches(batches())
    for (let offset = 0; offset <= 5; offset++) {
      expect([...joined.sliceFrom(offset)!].map(record => record.offset)[0]).to.equal(offset)
      expect(joined.sliceFrom(offset)!.recordCount).to.equal(6 - offset)
    }
    expect(joined.sliceFrom(0)).to.equal(joined)
    expect(joined.sliceFrom(6)).to.equal(undefined)
  })

  it('a join and its slices read like a list of records, whatever the holes between batches', () => {
    const part = fc.record({
      gap: fc.nat(3),
      values: fc.array(fc.string({ maxLength: 5 }), { minLength: 1, maxLength: 4 })
    })
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(30), { maxLength: 4 }),
        (parts, cuts) => {
          let at = 0
          const bytes = parts.map(({ gap, values }) => {
            const batch = batchAt(at + gap, values)
            at += gap + values.length
            return batch
          })
          const { batches } = read(Buffer.concat(bytes))
          let joined: RecordBatch | undefined = concatBatches(batches)
          let list = batches.flatMap(batch => [...batch])
          for (const cut of cuts) {
            const isInside = cut >= joined.offset && cut <= joined.maxOffset
            const slice: RecordBatch | undefined = joined.sliceFrom(cut)
            expect(slice !== undefined).to.equal(isInside)
            if (slice === undefined) continue
            joined = slice
            list = list.filter(({ offset }) => offset >= cut)
          }
          expect([...joined]).to.deep.equal(list)
          expect(list.map((_, index) => joined!.at(index))).to.deep.equal(list)
          expect(joined).to.include({
            offset: list[0]!.offset,
            maxOffset: list.at(-1)!.offset,
            nextOffset: at,
            recordCount: list.length
          })
          const rest = batches.flatMap(batch => batch.sliceFrom(Math.max(list[0]!.offset, batch.offset)) ?? [])
          for (const field of ['sizeBytes', 'heapBytes'] as const) {
            expect(joined[field]).to.equal(rest.reduce((sum, batch) => sum + batch[field]!, 0))
          }
        }
      )
    )
  })

  it('joins of joins are flat, a join of one is the one, a join of none is refused', () => {
    const [a, b, c] = batches()
    expect(valuesOf([concatBatches([concatBatches([a!, b!]), c!])])).to.deep.equal(
      valuesOf([concatBatches([a!, b!, c!])])
    )
    expect(concatBatches([a!])).to.equal(a)
    expect(() => concatBatches([])).to.throw(RangeError)
  })
})
