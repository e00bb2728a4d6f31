import { expect } from 'chai'
import fc from 'fast-check'
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

  it('gives back what its owner has saved up for an item that is deleted', () => {
    queue.add(a, 'large', 1024 * KIB)
    queue.add(a, 'small', KIB)
    for (let at = 1; at <= 8; at++) queue.add(b, `b${at}`, 32 * KIB)
    expect(queue.delete(a, 'large')).to.equal(true)
    expect(served()[0]).to.equal('small')
  })

  it('gives owners that have something waiting about the same, whatever their items cost', () => {
    const costs = fc.array(fc.integer({ min: 1, max: 1024 * KIB }), { minLength: 1, maxLength: 20 })
    const property = fc.property(fc.array(costs, { minLength: 2, maxLength: 6 }), all => {
      const lines = new FairLines<readonly [owner: number, cost: number]>()
      const left = all.map(items => items.length)
      for (const [owner, items] of all.entries()) {
        const name = {}
        for (const cost of items) lines.add(name, [owner, cost], cost)
      }
      const given = all.map(() => 0)
      lines.serve(([owner, cost]) => {
        given[owner]! += cost
        left[owner]!--
        const waiting = given.filter((_, at) => left[at]! > 0)
        expect(Math.max(...waiting, 0) - Math.min(...waiting)).to.be.at.most(2 * (1024 + 64) * KIB)
        return true
      })
      expect(lines.size).to.equal(0)
    })
    fc.assert(property)
  })

  for (const n of [10, 1_000, 10_000])
    it(`takes one of ${n} items in about log2 n steps, also where each one costs more than a turn`, () => {
      for (const kib of [[1_024], [1, 100, 1_024], [16]]) {
        let steps = 0
        class Counted extends FairLines<number> {
          protected override isBefore(...lines: Parameters<FairLines<number>['isBefore']>): boolean {
            steps++
            return super.isBefore(...lines)
          }
        }
        const lines = new Counted()
        for (let at = 0; at < n; at++) lines.add({}, at, kib[at % kib.length]! * KIB)
        steps = 0
        for (let at = 0; at < n; at++) {
          let left = 1
          lines.serve(() => left-- > 0)
        }
        expect(lines.size).to.equal(0)
        expect(steps / n).to.be.at.most(4 + Math.log2(n))
      }
    })
})
