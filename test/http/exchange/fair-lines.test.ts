import { expect } from 'chai'
import { FairLines } from '../../../src/http/exchange/fair-lines.js'

const KIB = 1024

describe('a fair queue', () => {
  const [a, b, c] = [{}, {}, {}]
  let queue: FairLines<string>
  const served = (most = Number.POSITIVE_INFINITY): string[] => {
    const items: string[] = []
    queue.serve(item => items.length < most && items.push(item) > 0)
    return items
  }

  beforeEach(() => {
    queue = new FairLines()
  })

  it('keeps the order of each owner', () => {
    for (const item of ['a1', 'a2', 'a3']) queue.add(a, item, KIB)
    expect(served()).to.deep.equal(['a1', 'a2', 'a3'])
    expect(queue.size).to.equal(0)
  })

  it('gives owners turns by what their items cost', () => {
    for (const at of [1, 2, 3]) queue.add(a, `a${at}`, 64 * KIB)
    for (const at of [1, 2, 3]) queue.add(b, `b${at}`, 32 * KIB)
    expect(served()).to.deep.equal(['a1', 'b1', 'b2', 'a2', 'b3', 'a3'])
  })

  it('lets small items of others pass one for which its owner has to save up, and serves it in the end', () => {
    queue.add(a, 'large', 200 * KIB)
    for (let at = 1; at <= 40; at++) queue.add(b, `b${at}`, 16 * KIB)
    const order = served()
    expect(order.indexOf('large')).to.equal(12)
    expect(order).to.have.length(41)
  })

  it('goes on with the item that had to wait', () => {
    queue.add(a, 'a1', KIB)
    queue.add(b, 'b1', KIB)
    queue.add(c, 'c1', KIB)
    expect(served(1)).to.deep.equal(['a1'])
    expect(queue.size).to.equal(2)
    expect(served()).to.deep.equal(['b1', 'c1'])
  })

  it('lets cheaper items of others pass one that may not go, and asks for that one first the next time', () => {
    queue.add(a, 'large', 60 * KIB)
    queue.add(b, 'b1', 4 * KIB)
    queue.add(c, 'alike', 60 * KIB)
    queue.add(c, 'behind it', KIB)
    const asked: string[] = []
    const serve = (refused: string): string[] => {
      const items: string[] = []
      queue.serve((item, passed) => {
        asked.push(passed === undefined ? item : `${item} past ${passed}`)
        if (item === refused) return false
        items.push(item)
        return true
      })
      return items
    }
    expect(serve('large')).to.deep.equal(['b1'])
    expect(asked).to.deep.equal(['large', 'b1 past large'])
    expect(serve('none')).to.deep.equal(['large', 'alike', 'behind it'])
    expect(queue.size).to.equal(0)
  })

  it('gives up what is wanted back, the oldest of each owner first', () => {
    for (const [owner, item] of [
      [a, 'a1'],
      [b, 'b2'],
      [a, 'a2'],
      [b, 'b1']
    ] as const)
      queue.add(owner, item, KIB)
    expect(queue.takeOldest(item => item.endsWith('1'))).to.deep.equal(['a1'])
    expect(queue.size).to.equal(3)
    expect(served()).to.deep.equal(['a2', 'b2', 'b1'])
  })

  it('forgets an owner that has nothing waiting', () => {
    queue.add(a, 'a1', 60 * KIB)
    served()
    queue.add(b, 'b1', KIB)
    queue.add(a, 'a2', 60 * KIB)
    expect(served()).to.deep.equal(['b1', 'a2'])
  })
})
