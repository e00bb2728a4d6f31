import { expect } from 'chai'
import { RequestQueue } from '../../src/processors/request-queue.js'

type Heads = Record<string, [number, string[]]>
const takeHeads = (queue: RequestQueue<number, string>): Heads =>
  Object.fromEntries([...queue.takeHeads()].map(([key, { subkey, waiters }]) => [key, [subkey, waiters]]))

describe('request queue', () => {
  let queue: RequestQueue<number, string>
  beforeEach(() => (queue = new RequestQueue()))

  it('castle 20 gives the oldest offset of each partition', () => {
    queue.add('perf/1', 300, 'r1')
    queue.add('perf/1', 100, 'r2')
    queue.add('api/17', 7, 'r3')
    expect(takeHeads(queue)).to.deep.equal({ 'perf/1': [300, ['r1']], 'api/17': [7, ['r3']] })
  })

  it('castle 21 is empty at first', () => {
    expect(queue.isEmpty).to.equal(true)
  })

  it('castle 22 one in, one out, empty again', () => {
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

  it('puts what was not served first, and its partition first in turn', () => {
    queue.add('perf/1', 5, 'r1')
    queue.add('api/17', 9, 'r2')
    queue.add('api/17', 4, 'r3')
    queue.putFirst('api/17', 4, ['r0'])
    expect([...queue.takeHeads()].map(([key, head]) => [key, head.subkey, head.waiters])).to.deep.equal([
      ['api/17', 4, ['r0', 'r3']],
      ['perf/1', 5, ['r1']]
    ])
    expect(takeHeads(queue)).to.deep.equal({ 'api/17': [9, ['r2']] })
  })

  it('serves partitions in turn', () => {
    for (const key of ['a/0', 'b/0']) for (const offset of [1, 2]) queue.add(key, offset, 'r')
    expect([...queue.takeHeads(1).keys()]).to.deep.equal(['a/0'])
    expect([...queue.takeHeads(1).keys()]).to.deep.equal(['b/0'])
    expect([...queue.takeHeads(1).keys()]).to.deep.equal(['a/0'])
  })
})
