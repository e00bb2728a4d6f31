import { expect } from 'chai'
import fc from 'fast-check'
import { ANY_PARTITION, Flows } from '../../../src/producer/disk/partition-cursors.js'

describe('durable: flows of a topic', () => {
  const everybody = () => true
  const nobody = () => false

  it('go on together while they have room', () => {
    const flows = new Flows(10)
    expect(flows.next(everybody, true)).to.equal(10)
    expect([0, 1, ANY_PARTITION].map(flow => flows.isNext(flow, 10))).to.deep.equal([true, true, true])
    flows.reached(20)
    expect([flows.position, flows.lowest, flows.behindCount]).to.deep.equal([20, 20, 0])
  })

  it('leave one behind that has no room, and catch up with it later', () => {
    const flows = new Flows(10)
    flows.next(everybody, true)
    flows.stall(1, 13)
    expect(flows.isNext(1, 14), 'behind the one that found no room').to.equal(false)
    expect(flows.isNext(0, 15)).to.equal(true)
    flows.reached(19)
    expect([flows.position, flows.lowest]).to.deep.equal([19, 13])
    expect(flows.next(nobody, false)).to.equal(undefined)
    expect(flows.next(everybody, false)).to.equal(13)
    expect([flows.isNext(0, 15), flows.isNext(1, 13), flows.isNext(1, 12)]).to.deep.equal([false, true, false])
    flows.reached(16)
    expect(flows.lowest).to.equal(16)
    flows.next(everybody, false)
    flows.reached(25)
    expect([flows.position, flows.behindCount]).to.deep.equal([25, 0])
  })

  it('take turns: what is behind and what goes on', () => {
    const flows = new Flows(10)
    flows.next(everybody, true)
    flows.stall(1, 13)
    flows.reached(19)
    expect([1, 2, 3, 4].map(() => flows.next(everybody, true))).to.deep.equal([13, 19, 13, 19])
  })

  it('do not let one that is behind take an entry out of turn while the others go on', () => {
    const flows = new Flows(10)
    flows.next(everybody, true)
    flows.stall(1, 13)
    flows.reached(19)
    flows.next(everybody, true)
    expect(flows.next(everybody, true), 'the turn of those that go on').to.equal(19)
    expect([flows.isNext(1, 19), flows.isNext(0, 19)]).to.deep.equal([false, true])
    flows.reached(30)
    expect(flows.lowest).to.equal(13)
  })

  it('begin again together after a rewind, before whatever was behind', () => {
    const flows = new Flows(10)
    flows.next(everybody, true)
    flows.stall(1, 13)
    flows.reached(19)
    flows.rewind(15)
    expect([flows.position, flows.behindCount]).to.deep.equal([13, 0])
  })

  it('offer every entry to its flow exactly once and in order, whoever has room when', () => {
    const reads = fc.array(
      fc.record({
        length: fc.integer({ min: 1, max: 7 }),
        room: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 })
      }),
      { minLength: 1, maxLength: 60 }
    )
    fc.assert(
      fc.property(fc.array(fc.nat(3), { minLength: 1, maxLength: 40 }), reads, (log, steps) => {
        const flows = new Flows(0)
        const taken: number[][] = [[], [], [], []]
        const read = (length: number, hasRoom: (flow: number) => boolean): void => {
          const from = flows.next(hasRoom, flows.position < log.length)
          if (from === undefined) return
          const to = Math.min(log.length, from + length)
          for (let sequence = from; sequence < to; sequence++) {
            const flow = log[sequence]!
            if (!flows.isNext(flow, sequence)) continue
            if (hasRoom(flow)) taken[flow]!.push(sequence)
            else flows.stall(flow, sequence)
          }
          flows.reached(to)
        }
        for (const { length, room } of steps) read(length, flow => room[flow]!)
        for (let rest = 0; rest < 4 * log.length + 4; rest++) read(3, everybody)
        for (const [flow, sequences] of taken.entries()) {
          expect(sequences).to.deep.equal(log.flatMap((of, sequence) => (of === flow ? [sequence] : [])))
        }
      }),
      { numRuns: 2_000 }
    )
  })
})
