import { expect } from 'chai'
import { SettledTokens } from '../../../src/consumer/queue/settled-tokens.js'

describe('the first answers about settled messages', () => {
  const DONE = { outcome: 'done' } as const
  let now: number
  let tokens: SettledTokens

  beforeEach(() => {
    now = 0
    tokens = new SettledTokens(() => now)
  })

  it('are kept for the latest 80,000 tokens, and for no more than twice as many', () => {
    for (let at = 0; at <= 160_000; at++) tokens.note(`token ${at}`, 'accept', DONE)
    expect(tokens.find('token 79999', 'accept'), 'an old one').to.equal(undefined)
    for (const at of [80_001, 120_000, 160_000]) expect(tokens.find(`token ${at}`, 'accept')).to.deep.equal(DONE)
  })

  it('are kept for a minute, and for no more than two', () => {
    now = 59_999
    tokens.note('token', 'accept', DONE)
    now += 60_000
    expect(tokens.find('token', 'accept')).to.deep.equal(DONE)
    now = 179_999
    expect(tokens.find('token', 'accept')).to.equal(undefined)
    tokens.note('token', 'accept', DONE)
    now += 1_000_000
    expect(tokens.find('token', 'accept'), 'after a pause').to.equal(undefined)
  })

  it('are of one word, and each of its own message', () => {
    tokens.note('one', 'release', DONE)
    tokens.note('two', 'release', { outcome: 'done', reason: 'archived' })
    tokens.note('three', 'release', DONE)
    expect(tokens.find('one', 'accept')).to.equal(undefined)
    expect(tokens.find('one', 'release')).to.deep.equal(DONE)
    expect(tokens.find('two', 'release')).to.deep.equal({ outcome: 'done', reason: 'archived' })
    expect(tokens.find('three', 'release')).to.deep.equal(DONE)
  })

  it('are none of a renewal, and none where the message is not settled', () => {
    tokens.note('one', 'renew', { outcome: 'done', lockEndsAt: 1 })
    tokens.note('two', 'accept', { outcome: 'failed', code: 30 })
    tokens.note('three', 'accept', { outcome: 'lost' })
    expect([tokens.find('one', 'renew'), tokens.find('two', 'accept'), tokens.find('three', 'accept')]).to.deep.equal([
      undefined,
      undefined,
      undefined
    ])
  })
})
