import { expect } from 'chai'
import { atOnce, type InPieces, joined, LoopTurns, type TurnTaker } from '../../src/core/loop-turns.js'
import { turns as ticks } from '../support/ticks.js'

const LIMITS = { costPerTick: 100, costPerTickAlone: 300 }

describe('turns of long work', () => {
  let turns: LoopTurns
  let done: string[]
  beforeEach(() => {
    turns = new LoopTurns(LIMITS)
    done = []
  })

  const work = (name: string, ...costs: number[]): InPieces<void> => piecesOf(done, name, costs)
  function* piecesOf(own: string[], name: string, costs: readonly number[]): InPieces<void> {
    for (const cost of costs) {
      own.push(name)
      yield cost
    }
    own.push(`${name}.`)
  }

  it('are as long as one tick allows, and the rest comes in later ones', async () => {
    turns.run(work('a', 150, 100, 50, 300, 1))
    expect(done.join('')).to.equal('aaa')
    await ticks(1)
    expect(done.join('')).to.equal('aaaa')
    await ticks(1)
    expect(done.join('')).to.equal('aaaaaa.')
  })

  it('go from owner to owner, whatever number of works each of them has', async () => {
    turns.run(work('-', 300))
    for (let nth = 0; nth < 30; nth++) turns.run(work('x', 100, 100), 'greedy')
    turns.run(work('y', 100, 100), 'polite')
    await ticks(6)
    expect(done.indexOf('y.')).to.be.below(12)
    expect(done.filter(name => name.startsWith('x')).length).to.be.above(3)
  })

  it('of one owner are done one after another, and what goes on with one comes before the next', async () => {
    turns.run(work('-', 300))
    const first = (function* (): InPieces<void> {
      done.push('a')
      yield 50
      turns.run(work('c', 50), 'owner', true)
      yield 50
      done.push('a.')
    })()
    turns.run(first, 'owner')
    turns.run(work('b', 50), 'owner')
    await ticks(6)
    expect(done.join('')).to.equal('--.acc.a.bb.')
  })

  it('go on for all when one fails and its error is caught', async () => {
    function* failing(): InPieces<void> {
      yield* work('-', 50)
      throw new Error('broken')
    }
    expect(() => turns.run(failing(), 'owner')).to.throw('broken')
    turns.run(work('b', 50), 'owner')
    turns.run(work('c', 50), 'other')
    await ticks(3)
    expect(done.sort().join('')).to.equal('--.bb.cc.')
  })

  it('of several are shorter together', async () => {
    turns.run(work('-', 300))
    for (const name of ['a', 'b', 'c']) turns.run(work(name, 60, 60, 60), name)
    await ticks(1)
    expect(done.join('')).to.equal('--.aa')
  })

  /** One that has always more to do, and does all that it may. */
  const endless = (name: string, owner?: string): TurnTaker => {
    const taker: TurnTaker = {
      owner,
      work(maxCost) {
        done.push(name)
        turns.ask(taker)
        return maxCost
      }
    }
    return taker
  }

  it('come to other owners although one has several takers that always have more to do', async () => {
    const takers = [endless('a', 'greedy'), endless('a', 'greedy'), endless('b', 'polite')]
    for (const taker of takers) turns.ask(taker)
    await ticks(10)
    for (const taker of takers) turns.leave(taker)
    const count = (name: string): number => done.filter(one => one === name).length
    expect(count('b')).to.be.within(count('a') - 2, count('a'))
  })

  it('of one are shorter while others are active, also when these have nothing to do', async () => {
    for (const name of ['a', 'b']) turns.setActive(endless(name), true)
    turns.run(work('c', 100, 100, 100))
    expect(done.join(''), 'half of 300').to.equal('cc')
    await ticks(1)
    expect(done.join('')).to.equal('cccc.')
  })

  it('put a list of texts together in pieces', () => {
    const items = Array.from({ length: 1_000 }, (_, at) => at)
    const text = joined('[', items, (item, at) => `${item}ü${at}`, ']')
    const { value, done } = text.next()
    expect([done, Number(value) >= 256 * 256]).to.deep.equal([false, true])
    expect(String(atOnce(text))).to.equal(`[${items.map(item => `${item}ü${item}`).join(',')}]`)
    expect(String(atOnce(joined('[', [], String, ']')))).to.equal('[]')
  })
})
