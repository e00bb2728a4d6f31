import { expect } from 'chai'
import { forgetOldest } from '../../src/core/forget-oldest.js'

const upTo = (count: number): string[] => Array.from({ length: count }, (_, at) => `${at}`)

describe('entries of a map that are forgotten', () => {
  it('are the oldest ones, so many that the next ones find room without another search', () => {
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
