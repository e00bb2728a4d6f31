import { expect } from 'chai'
import { EndedIds } from '../../../src/deployment/calls/ended-ids.js'

describe('ids of what has ended at another process', () => {
  let ended: EndedIds
  beforeEach(() => {
    ended = new EndedIds(1_000)
  })
  const known = (ids: readonly string[], now: number): string[] => ids.filter(id => ended.has(id, now))

  it('are remembered for a time', () => {
    ended.add('a/1', 0)
    ended.add('a/2', 999)
    expect(known(['a/1', 'a/2', 'a/3'], 999)).to.deep.equal(['a/1', 'a/2'])
    expect(known(['a/1', 'a/2'], 1_000)).to.deep.equal(['a/2'])
    ended.add('a/1', 1_500)
    expect(known(['a/1', 'a/2'], 1_998)).to.deep.equal(['a/1', 'a/2'])
    expect(known(['a/1', 'a/2'], 1_999)).to.deep.equal(['a/1'])
  })

  it('are remembered again from when they ended last', () => {
    for (let now = 0; now <= 5_000; now += 500) ended.add('a/1', now)
    expect(known(['a/1'], 5_999)).to.deep.equal(['a/1'])
  })

  it('are the last ten thousand, and at most twice as many', () => {
    const ids = Array.from({ length: 35_000 }, (_, at) => `a/${at}`)
    for (const id of ids) ended.add(id, 0)
    expect(known(ids.slice(-10_000), 0).length).to.equal(10_000)
    expect(known(ids, 0).length).to.be.at.most(20_000)
  })
})
