import { expect } from 'chai'
import { BegunByOthers } from '../../../src/deployment/verbs/begun-by-others.js'

describe('what other processes have begun at this one', () => {
  let others: BegunByOthers<string>
  let ended: string[]
  beforeEach(() => {
    others = new BegunByOthers()
    ended = []
  })

  const begin = (from: unknown, id: number): boolean =>
    others.begin(from, id, how => void ended.push(`${from} ${id} ${how}`))

  it('is ended once', () => {
    begin('a', 1)
    begin('a', 2)
    for (const how of ['first', 'again']) others.end('a', 1, how)
    expect(ended).to.deep.equal(['a 1 first'])
  })

  it('is not ended when it is over by itself', () => {
    begin('a', 1)
    others.over('a', 1)
    others.end('a', 1, 'late')
    others.endAllOf('a', 'gone')
    expect(ended).to.deep.equal([])
  })

  it('is ended with its process, and no other', () => {
    for (const from of [1, 10, '1/1']) begin(from, 1)
    others.endAllOf(1, 'gone')
    others.endAllOf(1, 'gone')
    expect(ended).to.deep.equal(['1 1 gone'])
  })

  it('stays ended when its process is silent', () => {
    others.end(1, 7, 'early')
    others.endAllOf(1, 'gone')
    expect(begin(1, 7)).to.equal(false)
  })
})
