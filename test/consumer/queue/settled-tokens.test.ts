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
    for (let at = 0; at <= 160_000; at++) tokens.note(at, 'accept', DONE)
    expect(tokens.find(79_999, 'accept'), 'an old one').to.equal(undefined)
    for (const at of [80_001, 120_000, 160_000]) expect(tokens.find(at, 'accept')).to.deep.equal(DONE)
  })

  it('are kept for a minute, and for no more than two', () => {
    now = 59_999
    tokens.note(1, 'accept', DONE)
    now += 60_000
    expect(tokens.find(1, 'accept')).to.deep.equal(DONE)
    now = 179_999
    expect(tokens.find(1, 'accept')).to.equal(undefined)
    tokens.note(1, 'accept', DONE)
    now += 1_000_000
    expect(tokens.find(1, 'accept'), 'after a pause').to.equal(undefined)
  })

  it('are of one word, and each of its own message', () => {
    tokens.note(1, 'release', DONE)
    tokens.note(2, 'release', { outcome: 'done', reason: 'archived' })
    tokens.note(3, 'release', DONE)
    expect(tokens.find(1, 'accept')).to.equal(undefined)
    expect(tokens.find(1, 'release')).to.deep.equal(DONE)
    expect(tokens.find(2, 'release')).to.deep.equal({ outcome: 'done', reason: 'archived' })
    expect(tokens.find(3, 'release')).to.deep.equal(DONE)
  })

  it('are none of a renewal, and none where the message is not settled', () => {
    tokens.note(1, 'renew', { outcome: 'done', lockEndsAt: 1 })
    tokens.note(2, 'accept', { outcome: 'failed', code: 30 })
    tokens.note(3, 'accept', { outcome: 'lost' })
    expect([tokens.find(1, 'renew'), tokens.find(2, 'accept'), tokens.find(3, 'accept')]).to.deep.equal([
      undefined,
      undefined,
      undefined
    ])
  })
})
