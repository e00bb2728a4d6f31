import { expect } from 'chai'
import { ClientTurns } from '../../src/core/client-turns.js'

describe('core: turns of clients', () => {
  let turns: ClientTurns<string>
  beforeEach(() => {
    turns = new ClientTurns()
  })
  const take = (count: number): (string | undefined)[] => Array.from({ length: count }, () => turns.next())

  it('give one item of each client at a time, in the order of each', () => {
    for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) turns.add(item[0]!, item)
    expect(take(7)).to.deep.equal(['a1', 'b1', 'c1', 'a2', 'c2', 'a3', undefined])
    expect(turns.size).to.equal(0)
  })

  it('begin behind all others for a client that comes again', () => {
    for (const item of ['a1', 'b1', 'b2']) turns.add(item[0]!, item)
    expect(take(1)).to.deep.equal(['a1'])
    turns.add('a', 'a2')
    expect(take(3)).to.deep.equal(['b1', 'a2', 'b2'])
  })

  it('count an item once, and not any more once it is taken out', () => {
    for (const item of ['a1', 'a1', 'a2']) turns.add('a', item)
    expect(turns.size).to.equal(2)
    turns.delete('b', 'a1')
    turns.delete('a', 'a1')
    turns.delete('a', 'a1')
    expect(turns.size).to.equal(1)
    expect(take(2)).to.deep.equal(['a2', undefined])
  })

  it('give an item without a walk through a Map or a Set, which would step over all that have left', () => {
    for (let at = 0; at < 1_000; at++) turns.add(`client ${at % 100}`, `item ${at}`)
    const walks = [
      ...([Symbol.iterator, 'keys', 'values', 'entries'] as const).map(name => [Map.prototype, name] as const),
      ...([Symbol.iterator, 'keys', 'values', 'entries'] as const).map(name => [Set.prototype, name] as const)
    ].map(([prototype, name]) => ({ prototype: prototype as never, name: name as never, walk: prototype[name] }))
    let begun = 0
    for (const { prototype, name, walk } of walks)
      Object.assign(prototype, {
        [name](this: never) {
          begun++
          return (walk as () => unknown).call(this)
        }
      })
    let taken = 0
    try {
      while (turns.next() !== undefined) taken++
    } finally {
      for (const { prototype, name, walk } of walks) Object.assign(prototype, { [name]: walk })
    }
    expect([taken, begun]).to.deep.equal([1_000, 0])
  })
})
