import { expect } from 'chai'
import fc from 'fast-check'
import { PartitionCursors } from '../../../src/producer/disk/partition-cursors.js'

describe('durable: flows of a topic', () => {
  const everybody = () => true

  it('do not let one that is behind take an entry out of turn while the others go on', () => {
    const cursors = new PartitionCursors(10)
    cursors.next(everybody, true)
    cursors.stall(1, 13)
    cursors.reached(19)
    cursors.next(everybody, true)
    expect(cursors.next(everybody, true), 'the turn of those that go on').to.equal(19)
    expect([cursors.isNext(1, 19), cursors.isNext(0, 19)]).to.deep.equal([false, true])
    cursors.reached(30)
    expect(cursors.lowest).to.equal(13)
  })

  it('know the lowest of more positions than a call can have arguments', () => {
    const cursors = new PartitionCursors(10)
    cursors.next(everybody, true)
    for (let partition = 0; partition < 200_000; partition++) cursors.stall(partition, 11 + partition)
    cursors.reached(300_000)
    expect(cursors.lowest).to.equal(11)
  })

  it('offer every entry to its flow exactly once and in order, whoever has space when', () => {
    const reads = fc.array(
      fc.record({
        length: fc.integer({ min: 1, max: 7 }),
        capacity: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 })
      }),
      { minLength: 1, maxLength: 60 }
    )
    fc.assert(
      fc.property(fc.array(fc.nat(3), { minLength: 1, maxLength: 40 }), reads, (log, steps) => {
        const cursors = new PartitionCursors(0)
        const taken: number[][] = [[], [], [], []]
        const read = (length: number, hasCapacity: (cursor: number) => boolean): void => {
          const from = cursors.next(hasCapacity, cursors.position < log.length)
          if (from === undefined) return
          const to = Math.min(log.length, from + length)
          for (let sequence = from; sequence < to; sequence++) {
            const cursor = log[sequence]!
            if (!cursors.isNext(cursor, sequence)) continue
            if (hasCapacity(cursor)) taken[cursor]!.push(sequence)
            else cursors.stall(cursor, sequence)
          }
          cursors.reached(to)
        }
        for (const { length, capacity } of steps) read(length, cursor => capacity[cursor]!)
        for (let rest = 0; rest < 4 * log.length + 4; rest++) read(3, everybody)
        for (const [cursor, sequences] of taken.entries()) {
          expect(sequences).to.deep.equal(log.flatMap((of, sequence) => (of === cursor ? [sequence] : [])))
        }
      }),
      { numRuns: 2_000 }
    )
  })
})
