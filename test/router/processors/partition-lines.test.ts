import { expect } from 'chai'
import fc from 'fast-check'
import sinon from 'sinon'
import { PartitionLines } from '../../../src/router/processors/partition-lines.js'

type Heads = Record<string, [number, string[]]>
const takeHeads = (queue: PartitionLines<number, string>): Heads =>
  Object.fromEntries([...queue.takeHeads()].map(([key, { subkey, waiters }]) => [key, [subkey, waiters]]))

describe('request queue', () => {
  let queue: PartitionLines<number, string>
  beforeEach(() => (queue = new PartitionLines()))

  it('castle 20 gives the oldest offset of each partition', () => {
    queue.add('perf/1', 300, 'r1')
    queue.add('perf/1', 100, 'r2')
    queue.add('api/17', 7, 'r3')
    expect(takeHeads(queue)).to.deep.equal({ 'perf/1': [300, ['r1']], 'api/17': [7, ['r3']] })
  })

  it('castle 21 is empty at first', () => {
    expect(queue.isEmpty).to.equal(true)
  })

  it('castle 22 is empty again when what came in has gone out', () => {
    queue.add('perf/1', 300, 'r1')
    expect(queue.isEmpty).to.equal(false)
    expect(takeHeads(queue)).to.deep.equal({ 'perf/1': [300, ['r1']] })
    expect(queue.isEmpty).to.equal(true)
  })

  it('castle 23 takes new partitions after heads were taken', () => {
    queue.add('perf/1', 300, 'r1')
    takeHeads(queue)
    queue.add('api/17', 1, 'r2')
    expect(takeHeads(queue)).to.deep.equal({ 'api/17': [1, ['r2']] })
  })

  it('castle 24 keeps offsets in the order they were first asked for, with everyone who asked', () => {
    for (const [offset, waiter] of [
      [300, 'r1'],
      [400, 'r2'],
      [500, 'r3'],
      [300, 'r4']
    ] as const) {
      queue.add('perf/1', offset, waiter)
    }
    expect(takeHeads(queue)).to.deep.equal({ 'perf/1': [300, ['r1', 'r4']] })
    expect(takeHeads(queue)).to.deep.equal({ 'perf/1': [400, ['r2']] })
    expect(takeHeads(queue)).to.deep.equal({ 'perf/1': [500, ['r3']] })
    expect(queue.isEmpty).to.equal(true)
  })

  it('castle 26 removing from an empty queue does nothing', () => {
    expect(queue.remove('perf/1', 1)).to.deep.equal([])
    expect(queue.removeKey('perf/1')).to.deep.equal([])
    expect(queue.isEmpty).to.equal(true)
  })

  it('castle 28 removes any entry in any order until nothing is left', () => {
    for (const order of [
      [1, 2, 3],
      [1, 3, 2],
      [2, 1, 3],
      [2, 3, 1],
      [3, 1, 2],
      [3, 2, 1]
    ]) {
      for (const offset of [1, 2, 3]) queue.add('perf/1', offset, `r${offset}`)
      expect(queue.remove('perf/1', 99)).to.deep.equal([])
      for (const offset of order) expect(queue.remove('perf/1', offset)).to.deep.equal([`r${offset}`])
      expect(queue.isEmpty).to.equal(true)
    }
  })

  it('what was not served keeps its turn, in the order in which it was taken', () => {
    for (const key of ['a/0', 'b/0', 'c/0', 'd/0']) queue.add(key, 1, key)
    const heads = [...queue.takeHeads(3)]
    queue.add('a/0', 2, 'new')
    queue.putBack(heads.slice(1).map(([key, head]) => ({ key, ...head })))
    expect([...queue.takeHeads().keys()]).to.deep.equal(['b/0', 'c/0', 'd/0', 'a/0'])
    expect(queue.isEmpty).to.equal(true)
  })

  it('puts what is given back before what else waits under the same key', () => {
    queue.add('perf/1', 5, 'r1')
    queue.add('api/17', 9, 'r2')
    queue.add('api/17', 4, 'r3')
    queue.putBack([{ key: 'api/17', subkey: 4, waiters: ['r0'] }])
    expect([...queue.takeHeads()].map(([key, head]) => [key, head.subkey, head.waiters])).to.deep.equal([
      ['api/17', 4, ['r0', 'r3']],
      ['perf/1', 5, ['r1']]
    ])
    expect(takeHeads(queue)).to.deep.equal({ 'api/17': [9, ['r2']] })
  })

  it('puts waiters first under their key without changing whose turn it is', () => {
    queue.add('perf/1', 5, 'r1')
    queue.add('api/17', 9, 'r2')
    queue.addFirst('api/17', 4, ['r0'])
    queue.addFirst('new/0', 1, ['r4'])
    expect([...queue.takeHeads()].map(([key, head]) => [key, head.subkey])).to.deep.equal([
      ['perf/1', 5],
      ['api/17', 4],
      ['new/0', 1]
    ])
  })

  it('giving back one response costs the same, however many other partitions are queued', () => {
    const costOf = (queued: number): number => {
      const crowded = new PartitionLines<number, string>()
      for (let partition = 0; partition < queued; partition++) crowded.add(`orders/${partition}`, 1, 'r')
      const heads = [...crowded.takeHeads(2_000)].map(([key, head]) => ({ key, ...head }))
      const set = sinon.spy(Map.prototype, 'set')
      try {
        crowded.putBack(heads)
        return set.callCount
      } finally {
        set.restore()
      }
    }
    const alone = costOf(2_000)
    expect(alone).to.be.lessThan(10 * 2_000)
    expect(costOf(10_000)).to.equal(alone)
  })

  it('of N keys each is served within ceil(N / S) + 1 calls that serve S or more, whoever joins', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ served: fc.integer({ min: 3, max: 12 }), joining: fc.integer({ min: 0, max: 4 }) }), {
          minLength: 30,
          maxLength: 60
        }),
        rounds => {
          const turns = new PartitionLines<number, { readonly dueBy: number }>()
          let keys = 0
          const ask = (key: string, round: number, waiting: number): void =>
            turns.add(key, round, { dueBy: round + Math.ceil(waiting / 3) + 1 })
          for (let count = 0; count < 40; count++) ask(`orders/${keys++}`, 0, 40)
          for (const [at, { served, joining }] of rounds.entries()) {
            const round = at + 1
            const heads = [...turns.takeHeads(20)].map(([key, head]) => ({ key, ...head }))
            const waiting = (): number => turns.keyCount + heads.length
            for (const { key, waiters } of heads.slice(0, served)) {
              expect(round).to.be.at.most(waiters[0]!.dueBy)
              // A reader that was answered asks for what follows.
              ask(key, round, waiting())
            }
            for (let count = 0; count < joining; count++) ask(`orders/${keys++}`, round, waiting())
            turns.putBack(heads.slice(served))
          }
        }
      )
    )
  })

  it('serves partitions in turn', () => {
    for (const key of ['a/0', 'b/0']) for (const offset of [1, 2]) queue.add(key, offset, 'r')
    expect([...queue.takeHeads(1).keys()]).to.deep.equal(['a/0'])
    expect([...queue.takeHeads(1).keys()]).to.deep.equal(['b/0'])
    expect([...queue.takeHeads(1).keys()]).to.deep.equal(['a/0'])
  })
})
