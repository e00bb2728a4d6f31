import { expect } from 'chai'
import { LossBook } from '../../../src/producer/memory/loss-book.js'

describe('the book of lost records', () => {
  it('has a page for each API, topic and reason, with the time of the first and of the last one', () => {
    let now = 10
    const book = new LossBook(() => now)
    book.add('kprf', { code: 'timedOut', message: 'too late', topic: '__proto__' }, 2)
    book.add('kprf', { code: 'timedOut', message: 'too late', topic: 'b' }, 1)
    now = 2_010
    book.add('kprf', { code: 'timedOut', message: 'later', topic: '__proto__' }, 4)
    book.add('arion', { code: 'timedOut', message: 'too late' }, 1)
    const [first, ...others] = book.views()
    expect(first).to.deep.equal({
      api: 'kprf',
      topic: '__proto__',
      reason: 'timedOut',
      message: 'later',
      records: 6,
      perSecond: 3,
      firstAt: 10,
      lastAt: 2_010
    })
    expect(others.map(({ api, topic, records }) => [api, topic, records])).to.deep.equal([
      ['kprf', 'b', 1],
      ['arion', undefined, 1]
    ])
  })

  it('is bounded, and loses no count', () => {
    const book = new LossBook(() => 0)
    for (let topic = 0; topic < 1_000; topic++)
      book.add('kprf', { code: 'timedOut', message: 'm', topic: `t${topic}` }, 1)
    const views = book.views()
    expect(views).to.have.length(101)
    expect(views[100]).to.include({ topic: undefined, records: 900 })
  })
})
