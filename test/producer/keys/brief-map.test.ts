import { expect } from 'chai'
import { BriefMap } from '../../../src/producer/keys/brief-map.js'

/** Repeatable numbers, from 0 to `below` without it. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

describe('a map of entries that are soon deleted', () => {
  for (const seed of [1, 2, 3]) {
    it(`has the entries of a usual map, in their order, seed ${seed}`, () => {
      const random = randomFrom(seed)
      const map = new BriefMap<number>()
      const usual = new Map<string, number>()
      for (let step = 0; step < 20_000; step++) {
        const key = String(random(8))
        if (random(2) === 0) {
          map.delete(key)
          usual.delete(key)
        } else if (!usual.has(key)) {
          map.add(key, step)
          usual.set(key, step)
        }
        expect(map.get(key)).to.equal(usual.get(key))
        expect(map.has(key)).to.equal(usual.has(key))
        expect(map.size).to.equal(usual.size)
        if (random(10) === 0) expect([...map.values()]).to.deep.equal([...usual.values()])
      }
    })
  }

  it('goes on with the others when entries are deleted and added meanwhile', () => {
    const map = new BriefMap<string>()
    for (const key of ['a', 'b', 'c']) map.add(key, key)
    const seen: string[] = []
    for (const value of map.values()) {
      seen.push(value)
      map.delete(value)
      if (value === 'a') map.add('d', 'd')
    }
    expect(seen).to.deep.equal(['a', 'b', 'c'])
    expect([...map.values()]).to.deep.equal(['d'])
  })
})
