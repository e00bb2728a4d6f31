import { expect } from 'chai'
import fc from 'fast-check'
import { type LogReadRequest, WantedEntries } from '../../../src/producer/log/entry-reader.js'
import { LogSegment } from '../../../src/producer/log/segment.js'
import { SegmentIndex } from '../../../src/producer/log/segment-index.js'

const FIRST = 100
const EVERYTHING = Number.MAX_SAFE_INTEGER
const MAX_GAP_BYTES = 16 * 1024

/** A segment whose entries have these sizes, all for `default/orders` unless a destination is given. */
function segmentOf(entries: readonly (number | readonly [sizeBytes: number, destination: string])[]) {
  const index = new SegmentIndex()
  let offset = 64
  for (const entry of entries) {
    const [sizeBytes, destination] = typeof entry === 'number' ? [entry, 'default/orders'] : entry
    index.add(destination, offset)
    offset += sizeBytes
  }
  const header = { id: 1, salt: 0, firstSequence: FIRST }
  const segment = new LogSegment(header, { endBytes: offset, entryCount: entries.length })
  const wanted = (request: Partial<LogReadRequest> = {}): WantedEntries =>
    new WantedEntries(segment, index, { fromSequence: 0, maxBytes: 0, ...request })
  return { segment, index, wanted }
}

const OTHER = 'default/audit'
const ORDERS_ONLY = { destinations: new Map([['default/orders', 0]]) }

describe('which entries of a segment are read at once', () => {
  it('are those with less than 16 KiB of others between them', () => {
    for (const [gapBytes, members] of [
      [MAX_GAP_BYTES, [0, 2]],
      [MAX_GAP_BYTES + 1, [0]]
    ] as const) {
      const { wanted } = segmentOf([100, [gapBytes, OTHER], 50])
      const run = wanted(ORDERS_ONLY).nextRun(0, EVERYTHING)
      expect(run.members, `${gapBytes} bytes`).to.deep.equal(members)
      expect(run.endBytes).to.equal(members.length === 2 ? 64 + 150 + gapBytes : 164)
      expect(run.nextIndex, 'the run goes on with the one that is too far away').to.equal(members.length === 2 ? 3 : 2)
    }
    const { wanted } = segmentOf([[10 * MAX_GAP_BYTES, OTHER], 100])
    expect(wanted(ORDERS_ONLY).nextRun(0, 100).members, 'what is before the first does not count').to.deep.equal([1])
  })

  it('are none that are completed, and none with a lower sequence than is asked for', () => {
    const { segment, wanted } = segmentOf([10, [10, OTHER], 10, 10, 10])
    segment.complete(FIRST + 2)
    expect(wanted().nextRun(0, EVERYTHING).members).to.deep.equal([0, 1, 3, 4])
    expect(wanted({ fromSequence: FIRST + 1 }).nextRun(0, EVERYTHING).members).to.deep.equal([1, 3, 4])
    const destinations = new Map([
      ['default/orders', FIRST + 4],
      [OTHER, FIRST + 1]
    ])
    expect(wanted({ destinations }).nextRun(0, EVERYTHING).members).to.deep.equal([1, 4])
  })

  it('are searched for among half a million entries at a time', () => {
    const index = new SegmentIndex()
    for (let at = 0; at < 500_010; at++) index.add(at === 500_000 ? 'default/orders' : OTHER, 64 + at)
    const segment = new LogSegment({ id: 1, salt: 0, firstSequence: 1 }, { endBytes: 600_000, entryCount: 500_010 })
    const wanted = new WantedEntries(segment, index, { fromSequence: 0, maxBytes: 0, ...ORDERS_ONLY })
    expect(wanted.nextRun(0, EVERYTHING)).to.deep.include({ members: [], nextIndex: 500_000 })
    expect(wanted.nextRun(500_000, EVERYTHING)).to.deep.include({ members: [500_000], nextIndex: 500_010 })
    expect(wanted.nextRun(1, EVERYTHING)).to.deep.include({ members: [500_000], nextIndex: 500_001 })
  })

  it('are, run after run, all that are wanted, once and in order', () => {
    const entry = fc.tuple(
      fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 5_000, max: 20_000 })),
      fc.constantFrom('default/orders', OTHER, 'default/third')
    )
    const names = fc.subarray(['default/orders', OTHER])
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 40 }),
        names,
        fc.uniqueArray(fc.nat(39)),
        fc.integer({ min: 0, max: 60_000 }),
        fc.nat(20),
        (entries, destinations, completed, maxBytes, skipped) => {
          const { segment, index, wanted } = segmentOf(entries)
          for (const at of completed) segment.complete(FIRST + at)
          const fromSequence = FIRST + skipped
          const entriesWanted = wanted({ fromSequence, destinations: new Map(destinations.map(name => [name, 0])) })
          const found: number[] = []
          for (let at = 0; at < entries.length; ) {
            const { members, offset, endBytes, nextIndex } = entriesWanted.nextRun(at, maxBytes)
            expect(nextIndex).to.be.above(at)
            if (members.length > 0) {
              expect(offset).to.equal(index.offsetAt(members[0]!))
              expect(endBytes).to.equal(index.endAt(members.at(-1)!, segment.endBytes))
              if (members.length > 1) expect(endBytes - offset).to.be.at.most(maxBytes)
            }
            found.push(...members)
            at = nextIndex
          }
          const expected = entries.flatMap(([, name], at) =>
            at >= skipped && destinations.includes(name) && !completed.includes(at) ? [at] : []
          )
          expect(found).to.deep.equal(expected)
        }
      ),
      { numRuns: 200 }
    )
  })
})
