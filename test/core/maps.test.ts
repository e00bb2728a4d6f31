import { expect } from 'chai'
import { deleteFrom, forgetOldest, getOrAdd, setNewest } from '../../src/core/maps.js'

const upTo = (count: number): string[] => Array.from({ length: count }, (_, at) => `${at}`)

describe('maps', () => {
  it('make what they lack once', () => {
    const map = new Map<string, number[]>()
    getOrAdd(map, 'a', () => []).push(1)
    getOrAdd(map, 'a', () => expect.fail('there is one')).push(2)
    expect([...map]).to.deep.equal([['a', [1, 2]]])
  })

  it('lose a key with the last item that is taken out of it', () => {
    const sets = new Map([['a', new Set([1, 2])]])
    const take = (key: string, item: number): boolean => deleteFrom(sets, key, item)
    expect([take('a', 3), take('b', 1), take('a', 1), take('a', 1)]).to.deep.equal([false, false, true, false])
    expect([...sets]).to.deep.equal([['a', new Set([2])]])
    expect([take('a', 2), sets.size]).to.deep.equal([true, 0])
  })

  it('keep what was set last, so many entries at most', () => {
    const map = new Map<string, number>()
    for (const [at, name] of ['a', 'b', 'c', 'a', 'd', 'c'].entries()) setNewest(map, name, at, 3)
    expect([...map]).to.deep.equal([
      ['a', 3],
      ['d', 4],
      ['c', 5]
    ])
  })
})

describe('entries of a map that are forgotten', () => {
  it('are the oldest ones, so many that the next ones find capacity without another search', () => {
    const entries = new Map(upTo(1_000).map(name => [name, true]))
    forgetOldest(entries, 1_000)
    expect(entries.size, 'as many as there may be').to.equal(1_000)
    entries.set('1000', true)
    forgetOldest(entries, 1_000)
    expect([...entries.keys()]).to.deep.equal(upTo(1_001).slice(63))
  })

  it('are few, however small the map is', () => {
    const entries = new Map(upTo(3).map(name => [name, true]))
    forgetOldest(entries, 2)
    expect([...entries.keys()]).to.deep.equal(['1', '2'])
  })
})
