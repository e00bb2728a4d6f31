import { expect } from 'chai'
import { deadLetterOf } from '../../src/webhooks/dead-letters.js'
import { fakeRecord } from '../support/fake-batch.js'

describe('a dead letter', () => {
  const letter = {
    webhook: 'hook',
    id: 'id-0-7',
    topic: 'orders',
    partition: 0,
    to: 'dead',
    reason: 'answer',
    status: '422',
    attempts: 3
  }

  it('has the headers of its record, also several of a name, before those that say why it was given up', () => {
    const own = ['a', '__proto__', 'a', 'castellan-mine'].map(key => ({ key, value: Buffer.from(key) }))
    const { headers } = deadLetterOf({ ...fakeRecord(7), headers: own }, letter)
    expect(headers!.slice(0, 4)).to.deep.equal(own)
    expect(headers!.slice(4).map(({ key }) => key)).to.deep.equal([
      'castellan-webhook',
      'castellan-reason',
      'castellan-status',
      'castellan-attempts',
      'castellan-topic',
      'castellan-partition',
      'castellan-offset',
      'castellan-webhook-id'
    ])
  })

  it('of a dead letter says once why it was given up, and where the former one is', () => {
    const former = deadLetterOf(fakeRecord(7), letter).headers!
    const record = { ...fakeRecord(2), headers: former.map(({ key, value }) => ({ key, value: value as Buffer })) }
    const again = { ...letter, webhook: 'letters', topic: 'dead', to: 'dead-again', status: '400' }
    const headers = deadLetterOf(record, again).headers!.map(({ key, value }) => [key, String(value)])
    expect(new Map(headers as [string, string][]).size).to.equal(headers.length)
    expect(headers).to.deep.include.members([
      ['castellan-webhook', 'letters'],
      ['castellan-topic', 'dead'],
      ['castellan-offset', '2'],
      ['castellan-status', '400']
    ])
  })
})
