import { expect } from 'chai'
import fc from 'fast-check'
import type { RecordBatch } from '../../../src/core/model.js'
import { heldBytesOf, MessageCache } from '../../../src/router/processors/message-cache.js'
import { FakeBatch, fakeBatch, fakeBatchOf, fakeRecord } from '../../support/fake-batch.js'

const TP = 'perf/1'

/** A cache that counts wire bytes, as Castle's cases do. */
const cacheOf = (maxBytes: number, bufferBytes = 200): MessageCache =>
  new MessageCache({ maxBytes, bufferBytes, concat: FakeBatch.concat, sizeOf: batch => batch.sizeBytes })

const add = (cache: MessageCache, batch: RecordBatch, key = TP): boolean => cache.add(key, batch.offset, batch)
const offsetsOf = (batch: RecordBatch | undefined): number[] | undefined =>
  batch && [...batch].map(record => record.offset)

describe('message cache: the cases of Castle', () => {
  it('castle 29 an empty cache holds nothing and says so', () => {
    const cache = cacheOf(100)
    expect([cache.sizeBytes, cache.entryCount]).to.deep.equal([0, 0])
  })

  it('castle 30 gives back what was added, the same object', () => {
    const cache = cacheOf(1000)
    const batch = fakeBatchOf(20, 4, 100)
    expect(add(cache, batch)).to.equal(true)
    expect(cache.get(TP, 20)).to.equal(batch)
  })

  it('castle 31, castle 58 tells in text what it holds', () => {
    const cache = cacheOf(800)
    add(cache, fakeBatchOf(40, 10, 467))
    add(cache, fakeBatchOf(200, 4, 40))
    expect(`${cache}`).to.equal('bufferBytes: 200, maxBytes: 800, sizeBytes: 507, perf/1: [40..50) [200..204)')
  })

  for (const maxBytes of [0, -1]) {
    it(`castle 32, castle 59 refuses a maximum size of ${maxBytes}`, () => {
      expect(() => cacheOf(maxBytes)).to.throw(RangeError, 'maxBytes')
    })
  }

  for (const bufferBytes of [0, -1]) {
    it(`castle 33, castle 60 refuses a buffer size of ${bufferBytes}`, () => {
      expect(() => cacheOf(100, bufferBytes)).to.throw(RangeError, 'bufferBytes')
    })
  }

  it('castle 34 answers an offset inside a batch with its tail', () => {
    const cache = cacheOf(800)
    add(cache, fakeBatchOf(40, 10, 467))
    const later = fakeBatch(50, [30, 30, 30])
    add(cache, later)
    expect(cache.get(TP, 50)).to.equal(later)
    expect(cache.get(TP, 51)).to.include({ recordCount: 2, nextOffset: 53 })
    expect(cache.get(TP, 52)).to.include({ recordCount: 1 })
  })

  it('castle 35 a tail counts its own bytes', () => {
    const cache = cacheOf(800)
    add(cache, fakeBatch(50, [21, 22, 23, 24]))
    expect(cache.get(TP, 51)).to.include({ recordCount: 3, sizeBytes: 69, nextOffset: 54, maxOffset: 53 })
  })

  it('castle 36 keeps the old records of an overlap (and, unlike Castle, adds the new ones)', () => {
    const cache = cacheOf(800)
    const old = fakeBatch(50, [20, 20, 20])
    add(cache, old)
    expect(add(cache, fakeBatch(52, [20, 20, 20]))).to.equal(true)
    expect(offsetsOf(cache.get(TP, 50))).to.deep.equal([50, 51, 52, 53, 54])
    expect(offsetsOf(cache.get(TP, 53))).to.deep.equal([53, 54])
  })

  it('castle 38 drops the oldest first, to the byte', () => {
    const cache = cacheOf(576, 576)
    for (const batch of [fakeBatchOf(20, 4, 319), fakeBatchOf(24, 2, 50), fakeBatchOf(26, 8, 207)]) add(cache, batch)
    expect(cache.sizeBytes).to.equal(576)
    add(cache, fakeBatchOf(34, 2, 27))
    expect([20, 24, 26, 34].map(offset => cache.get(TP, offset) !== undefined)).to.deep.equal([false, true, true, true])
    add(cache, fakeBatchOf(36, 1, 292))
    expect(cache.sizeBytes).to.equal(576)
    add(cache, fakeBatchOf(37, 1, 576))
    expect([24, 26, 34, 36, 37].map(offset => cache.get(TP, offset) !== undefined)).to.deep.equal([
      false,
      false,
      false,
      false,
      true
    ])
    expect(add(cache, fakeBatchOf(38, 1, 577))).to.equal(false)
    expect(cache.get(TP, 37)).to.not.equal(undefined)
  })

  it('castle 39 hits inside batches and misses between them', () => {
    const cache = cacheOf(1000)
    const [low, high] = [fakeBatchOf(40, 4, 100), fakeBatchOf(200, 4, 100)]
    add(cache, low)
    add(cache, high)
    expect(cache.get(TP, 40)).to.equal(low)
    expect(cache.get(TP, 200)).to.equal(high)
    for (const offset of [41, 42, 43, 201, 202, 203]) expect(offsetsOf(cache.get(TP, offset))![0]).to.equal(offset)
    for (const offset of [38, 39, 44, 45, 198, 199, 204, 205]) expect(cache.get(TP, offset)).to.equal(undefined)
  })

  it('castle 40, castle 42 refuses what is larger than the whole cache, empty or filled', () => {
    const cache = cacheOf(100)
    expect(add(cache, fakeBatchOf(1, 1, 101))).to.equal(false)
    expect(cache.entryCount).to.equal(0)
    add(cache, fakeBatchOf(1, 1, 60))
    expect(add(cache, fakeBatchOf(2, 1, 101))).to.equal(false)
    expect(cache.sizeBytes).to.equal(60)
  })

  it('castle 41 takes what is exactly as large as the cache', () => {
    const cache = cacheOf(100)
    expect(add(cache, fakeBatchOf(1, 1, 100))).to.equal(true)
    expect(cache.sizeBytes).to.equal(100)
  })

  it('castle 44, castle 45, castle 62 resizing to the same size changes nothing', () => {
    const cache = cacheOf(100)
    cache.resize(100)
    const batch = fakeBatchOf(1, 1, 100)
    add(cache, batch)
    cache.resize(100)
    expect(cache.get(TP, 1)).to.equal(batch)
  })

  it('castle 46 shrinks step by step, oldest first, and grows again', () => {
    const batches = [fakeBatchOf(20, 4, 65), fakeBatchOf(24, 2, 87), fakeBatchOf(26, 3, 912)]
    const cache = cacheOf(3000, 3000)
    for (const batch of batches) add(cache, batch)
    const present = (): boolean[] => {
      const fresh = batches.map(batch => cache.get(TP, batch.offset))
      return fresh.map(batch => batch !== undefined)
    }
    const steps: [number, boolean[]][] = [
      [1064, [true, true, true]],
      [1063, [false, true, true]],
      [999, [false, true, true]],
      [998, [false, false, true]],
      [912, [false, false, true]],
      [911, [false, false, false]]
    ]
    for (const [maxBytes, expected] of steps) {
      cache.resize(maxBytes)
      expect(present(), `at ${maxBytes}`).to.deep.equal(expected)
    }
    cache.resize(3000)
    for (const batch of batches) expect(add(cache, batch)).to.equal(true)
    cache.resize(911)
    expect(cache.sizeBytes).to.be.at.most(911)
    expect(cache.get(TP, 26)).to.equal(undefined)
  })

  it('castle 48, castle 49, castle 50 the buffer size changes without losing data', () => {
    const cache = cacheOf(1000, 50)
    cache.bufferBytes = 40
    add(cache, fakeBatchOf(1, 2, 100))
    cache.bufferBytes = 100
    cache.bufferBytes = 100
    expect(cache.get(TP, 1)).to.include({ sizeBytes: 100 })
  })

  it('castle 51, castle 52, castle 65 misses for an unknown offset, when it is empty, and for an unknown partition', () => {
    const cache = cacheOf(1000)
    expect(cache.get(TP, 1)).to.equal(undefined)
    add(cache, fakeBatchOf(10, 2, 100))
    expect(cache.get(TP, 1)).to.equal(undefined)
    expect(cache.get('api/17', 10)).to.equal(undefined)
  })

  it('castle 53 gives a batch larger than the buffer (unlike Castle, where it was cached in vain)', () => {
    const cache = cacheOf(1000, 400)
    const batch = fakeBatchOf(10, 5, 500)
    add(cache, batch)
    expect(cache.get(TP, 10)).to.equal(batch)
  })

  it('castle 54, castle 68 joins contiguous batches up to a hole', () => {
    const cache = cacheOf(3000, 1500)
    for (const batch of [fakeBatchOf(20, 2, 100), fakeBatchOf(22, 1, 50), fakeBatchOf(23, 10, 400)]) add(cache, batch)
    for (const batch of [fakeBatchOf(40, 2, 100), fakeBatchOf(42, 2, 100)]) add(cache, batch)
    expect(cache.get(TP, 20)).to.include({ recordCount: 13, sizeBytes: 550, offset: 20, nextOffset: 33 })
  })

  it('castle 55 joins from the middle of a batch', () => {
    const cache = cacheOf(3000, 1200)
    for (const batch of [fakeBatchOf(23, 10, 400), fakeBatchOf(33, 2, 100), fakeBatchOf(35, 2, 100)]) add(cache, batch)
    expect(cache.get(TP, 28)).to.include({ recordCount: 9, offset: 28, nextOffset: 37, sizeBytes: 400 })
  })

  it('castle 56 joins only whole batches that fit', () => {
    const cache = cacheOf(3000, 610)
    for (const batch of [fakeBatchOf(20, 2, 300), fakeBatchOf(22, 2, 300), fakeBatchOf(24, 2, 300)]) add(cache, batch)
    expect(cache.get(TP, 20)).to.include({ recordCount: 4, sizeBytes: 600 })
    cache.bufferBytes = 899
    expect(cache.get(TP, 20)).to.include({ recordCount: 4 })
    cache.bufferBytes = 900
    expect(cache.get(TP, 20)).to.include({ recordCount: 6 })
  })

  it('castle 57 joins many small batches to the byte', () => {
    const MIB = 1024 * 1024
    const cache = cacheOf(600 * MIB, 16 * MIB)
    for (let offset = 0; offset < 500; offset++) add(cache, fakeBatch(offset, [MIB]))
    const expected: [number, number, number][] = [
      [0, 16, 16],
      [484, 16, 500],
      [300, 16, 316],
      [485, 15, 500],
      [499, 1, 500]
    ]
    for (const [offset, recordCount, nextOffset] of expected) {
      expect(cache.get(TP, offset)).to.include({ recordCount, nextOffset })
    }
    add(cache, fakeBatch(500, [MIB, MIB]))
    cache.bufferBytes = 16 * MIB - 1
    expect(cache.get(TP, 486)).to.include({ recordCount: 14, nextOffset: 500 })
  })

  it('castle 63 drops its only batch when it shrinks', () => {
    const cache = cacheOf(100)
    add(cache, fakeBatchOf(1, 1, 100))
    cache.resize(99)
    expect(cache.get(TP, 1)).to.equal(undefined)
    expect([cache.sizeBytes, cache.entryCount, cache.evictions]).to.deep.equal([0, 0, 1])
  })

  it('castle 64 lets one partition use the whole space', () => {
    const cache = cacheOf(57 + 79 + 219)
    for (const batch of [fakeBatchOf(1, 1, 57), fakeBatchOf(2, 1, 79), fakeBatchOf(3, 1, 219)]) add(cache, batch)
    expect([1, 2, 3].every(offset => cache.get(TP, offset))).to.equal(true)
  })

  it('castle 66 shares one bound between partitions (unlike Castle, which gave each an equal part)', () => {
    const cache = cacheOf(320, 320)
    for (const batch of [fakeBatchOf(20, 4, 160), fakeBatchOf(24, 2, 120), fakeBatchOf(26, 1, 40)])
      add(cache, batch, 'a/0')
    add(cache, fakeBatchOf(18, 2, 160), 'b/0')
    expect([20, 24, 26].map(offset => cache.get('a/0', offset) !== undefined)).to.deep.equal([false, true, true])
    expect(cache.get('b/0', 18)).to.not.equal(undefined)
    expect(cache.sizeBytes).to.equal(320)
  })
})

describe('message cache', () => {
  it('drops what was used least recently, wherever it belongs', () => {
    const cache = cacheOf(300)
    add(cache, fakeBatchOf(1, 1, 100), 'a/0')
    add(cache, fakeBatchOf(1, 1, 100), 'b/0')
    add(cache, fakeBatchOf(1, 1, 100), 'c/0')
    cache.get('a/0', 1)
    add(cache, fakeBatchOf(1, 1, 100), 'd/0')
    expect(['a/0', 'b/0', 'c/0', 'd/0'].filter(key => cache.get(key, 1))).to.deep.equal(['a/0', 'c/0', 'd/0'])
  })

  it('answers an offset in a hole that an entry covers', () => {
    const cache = cacheOf(1000)
    const compacted = new FakeBatch([fakeRecord(10), fakeRecord(17)], [10, 10], 20)
    cache.add(TP, 8, compacted)
    expect(offsetsOf(cache.get(TP, 8))).to.deep.equal([10, 17])
    expect(offsetsOf(cache.get(TP, 12))).to.deep.equal([17])
    expect(cache.get(TP, 18)).to.equal(undefined)
    add(cache, fakeBatch(20, [10]))
    expect(offsetsOf(cache.get(TP, 18))).to.deep.equal([20])
  })

  it('serves a lagging reader while newer data is held', () => {
    const cache = cacheOf(1000)
    add(cache, fakeBatchOf(500, 5, 100))
    expect(add(cache, fakeBatchOf(10, 5, 100))).to.equal(true)
    expect(cache.get(TP, 10)).to.include({ recordCount: 5 })
  })

  it('forgets a partition, or what Kafka has deleted of it', () => {
    const cache = cacheOf(1000)
    add(cache, fakeBatchOf(10, 5, 100))
    add(cache, fakeBatchOf(15, 5, 100))
    add(cache, fakeBatchOf(10, 5, 100), '__proto__/0')
    cache.invalidateBelow(TP, 15)
    expect([cache.get(TP, 10), offsetsOf(cache.get(TP, 15))]).to.deep.equal([undefined, [15, 16, 17, 18, 19]])
    cache.invalidate(TP)
    expect(cache.get(TP, 15)).to.equal(undefined)
    expect(cache.sizeBytes).to.equal(100)
  })

  it('counts more than wire bytes for what it holds', () => {
    const batch = fakeBatchOf(0, 1000, 5000)
    expect(heldBytesOf(batch)).to.be.above(5000 + 1000 * 4)
  })

  it('counts a slice as all that it keeps alive', () => {
    const slice = Object.assign(fakeBatchOf(900, 10, 50), { heapBytes: 9000 })
    expect(heldBytesOf(slice)).to.be.above(9000)
  })

  it('keeps its invariants and never answers wrongly, whatever is added, read and resized', () => {
    const command = fc.oneof(
      fc.record({
        type: fc.constant('add' as const),
        start: fc.nat(60),
        before: fc.nat(3),
        count: fc.integer({ min: 1, max: 12 }),
        after: fc.nat(3)
      }),
      fc.record({ type: fc.constant('get' as const), offset: fc.nat(80) }),
      fc.record({ type: fc.constant('resize' as const), maxBytes: fc.integer({ min: 20, max: 600 }) }),
      fc.record({ type: fc.constant('below' as const), offset: fc.nat(80) })
    )
    // In this log every offset that is a multiple of 7 was compacted away.
    const exists = (offset: number): boolean => offset % 7 !== 0
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), commands => {
        const cache = cacheOf(300, 60)
        for (const step of commands) {
          if (step.type === 'resize') cache.resize(step.maxBytes)
          else if (step.type === 'below') cache.invalidateBelow(TP, step.offset)
          else if (step.type === 'add') {
            const first = step.start + step.before
            const offsets = Array.from({ length: step.count }, (_, index) => first + index).filter(exists)
            if (offsets.length === 0 || [...Array(step.before).keys()].some(index => exists(step.start + index)))
              continue
            let next = offsets.at(-1)! + 1
            while (!exists(next)) next++
            cache.add(
              TP,
              step.start,
              new FakeBatch(
                offsets.map(fakeRecord),
                offsets.map(() => 10),
                next
              )
            )
          } else {
            const got = offsetsOf(cache.get(TP, step.offset))
            if (got) {
              const whole = Array.from(
                { length: got.at(-1)! - step.offset + 1 },
                (_, index) => step.offset + index
              ).filter(exists)
              expect(got).to.deep.equal(whole)
            }
          }
          expect(cache.sizeBytes).to.be.at.most(cache.maxBytes)
        }
        cache.invalidate(TP)
        expect([cache.sizeBytes, cache.entryCount]).to.deep.equal([0, 0])
      }),
      { numRuns: 2000 }
    )
  })
})
