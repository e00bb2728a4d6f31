import { expect } from 'chai'
import { SettledTokens, type SettleResult } from '../../../src/consumer/queue/settled-tokens.js'

describe('the first answers about settled messages', () => {
  it('are kept for the latest 90,000 tokens when there are 100,000', async () => {
    const tokens = new SettledTokens(() => 0)
    let asked = 0
    const settle = (): Promise<SettleResult> => {
      asked++
      return Promise.resolve({ outcome: 'done' })
    }
    for (let at = 0; at < 100_000; at++) void tokens.answer(`token ${at}`, 'accept', settle)
    await tokens.answer('token 0', 'accept', settle)
    expect(asked, 'the oldest is forgotten').to.equal(100_001)
    await tokens.answer('token 99999', 'accept', settle)
    await tokens.answer('token 10001', 'accept', settle)
    expect(asked, 'later ones are known').to.equal(100_001)
  })

  it('are of one word: another one is asked for itself', async () => {
    const tokens = new SettledTokens(() => 0)
    const settle = (outcome: 'done' | 'lost') => (): Promise<SettleResult> => Promise.resolve({ outcome })
    expect(await tokens.answer('token', 'release', settle('done'))).to.deep.equal({ outcome: 'done' })
    expect(await tokens.answer('token', 'accept', settle('lost'))).to.deep.equal({ outcome: 'lost' })
    expect(await tokens.answer('token', 'release', settle('lost'))).to.deep.equal({ outcome: 'done' })
  })
})
