import { expect } from 'chai'
import fc from 'fast-check'
import { journalIdOf, mergeIdOf, segmentIdOf, segmentName, spareIdOf } from '../../../src/producer/log/files.js'
import { LogSegment } from '../../../src/producer/log/segment.js'
import { SegmentIndex } from '../../../src/producer/log/segment-index.js'
import { SegmentIndexes } from '../../../src/producer/log/segment-indexes.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'

describe('the index of a segment', () => {
  const indexOf = (entries: readonly (readonly [string, number] | 'lost')[]): SegmentIndex => {
    const index = new SegmentIndex()
    for (const entry of entries) entry === 'lost' ? index.addLost() : index.add(...entry)
    return index
  }
  const shown = (index: SegmentIndex): unknown[] =>
    Array.from({ length: index.count }, (_, at) =>
      index.isLost(at) ? 'lost' : [index.names[index.destinationAt(at)], index.offsetAt(at)]
    )

  it('is the same after it was written and read, lost entries and odd names included', () => {
    const entry = fc.oneof(
      fc.constant('lost' as const),
      fc.tuple(fc.constantFrom('default/a', 'default/заказы', '__proto__', ''), fc.integer({ min: 64, max: 2 ** 31 }))
    )
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 3_000 }), entries => {
        const index = indexOf(entries)
        expect(shown(index)).to.deep.equal(entries)
        expect(shown(SegmentIndex.decode(index.encode()))).to.deep.equal(entries)
      }),
      { numRuns: 30 }
    )
  })
})

describe('the indexes that are kept in memory', () => {
  const headerOf = (id: number) => ({ id, salt: 0, firstSequence: 1 })
  const index = (): SegmentIndex => {
    const made = new SegmentIndex()
    made.add('default/orders', 64)
    return made
  }
  const { memoryBytes } = index()

  /** Which of these segments' indexes are still there, without asking for them. */
  const keptOf = (indexes: SegmentIndexes, segments: readonly LogSegment[]): number[] =>
    segments
      .filter(segment => {
        try {
          return indexes.of(segment) !== undefined
        } catch {
          return false
        }
      })
      .map(({ id }) => id)

  it('are those used last, as many as the limit allows', () => {
    const segments = [1, 2, 3, 4].map(id => new LogSegment(headerOf(id)))
    const indexes = new SegmentIndexes(new SimulatedDisk().directory, () => undefined, 3 * memoryBytes)
    for (const segment of segments.slice(0, 3)) indexes.keep(segment, index())
    indexes.of(segments[0]!)
    indexes.keep(segments[3]!, index())
    expect(keptOf(indexes, segments), 'the second one is used least').to.deep.equal([1, 3, 4])
    indexes.forget(segments[2]!)
    indexes.keep(segments[1]!, index())
    expect(keptOf(indexes, segments)).to.deep.equal([1, 2, 4])
    indexes.keep(segments[1]!, index())
    expect(keptOf(indexes, segments), 'none counts twice').to.deep.equal([1, 2, 4])
  })
})

describe('a segment', () => {
  const merged = (): LogSegment =>
    new LogSegment({ id: 1, salt: 0, firstSequence: 3 }, { endBytes: 500, entryCount: 3 }, Float64Array.from([3, 7, 8]))
  const plain = (): LogSegment => new LogSegment({ id: 1, salt: 0, firstSequence: 3 }, { endBytes: 500, entryCount: 3 })

  it('completes what it has of a run, once', () => {
    for (const [segment, expected] of [
      [plain(), [{ first: 4, count: 2 }]],
      [
        merged(),
        [
          { first: 7, count: 1 },
          { first: 8, count: 1 }
        ]
      ]
    ] as const) {
      expect([segment.complete(2), segment.complete(9), segment.completeBetween(4, 99)]).to.deep.equal([
        false,
        false,
        2
      ])
      expect(segment.completeBetween(4, 99)).to.equal(0)
      expect([...segment.completed()]).to.deep.equal(expected)
      expect([segment.openCount, segment.isFinished]).to.deep.equal([1, false])
    }
  })

  it('is finished once it is closed and every entry is completed or damaged', () => {
    const segment = plain()
    expect([segment.damaged(3), segment.damaged(3), segment.damaged(99)]).to.deep.equal([true, false, false])
    segment.completeBetween(4, 6)
    expect([segment.damagedCount, segment.openCount, segment.isFinished]).to.deep.equal([1, 0, false])
    segment.isClosed = true
    expect(segment.isFinished).to.equal(true)
  })
})

describe('the names of the log’s files', () => {
  it('sort as their ids do, and are told from all others', () => {
    expect(segmentName(12)).to.equal('0000000000000012.slab')
    expect(segmentIdOf('0000000000000012.slab')).to.equal(12)
    expect(journalIdOf('0000000000000012.progress')).to.equal(12)
    expect(mergeIdOf('0000000000000012.merge')).to.equal(12)
    expect(spareIdOf('0000000000000012.spare')).to.equal(12)
    expect(segmentIdOf('4503599627370495.slab')).to.equal(2 ** 52 - 1)
    const others = ['12.slab', '0000000000000012.slab2', 'x000000000000012.slab', '00000000000000012.slab']
    for (const name of [...others, '0000000000000012.progress', '4503599627370496.slab', '000000000000012x.slab']) {
      expect(segmentIdOf(name), name).to.equal(undefined)
    }
  })
})
