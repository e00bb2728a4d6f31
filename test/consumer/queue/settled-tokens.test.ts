import { expect } from 'chai'
import { SettledTokens, type SettleResult, type TellResult } from '../../../src/consumer/queue/settled-tokens.js'

describe('the first answers about settled messages', () => {
  let tokens: SettledTokens
  let told: SettleResult[]
  const tell = (result: SettleResult): void => void told.push(result)

  beforeEach(() => {
    tokens = new SettledTokens(() => 0)
    told = []
  })

  it('are kept for the latest 90,000 tokens when there are 100,000', () => {
    let asked = 0
    const settle = (tell: TellResult): void => {
      asked++
      tell({ outcome: 'done' })
    }
    for (let at = 0; at < 100_000; at++) tokens.answer(`token ${at}`, 'accept', settle, tell)
    tokens.answer('token 0', 'accept', settle, tell)
    expect(asked, 'the oldest is forgotten').to.equal(100_001)
    tokens.answer('token 99999', 'accept', settle, tell)
    tokens.answer('token 10001', 'accept', settle, tell)
    expect(asked, 'later ones are known').to.equal(100_001)
    expect(told).to.have.length(100_003)
  })

  it('are of one word: another one is asked for itself', () => {
    const settle = (outcome: 'done' | 'lost') => (tell: TellResult) => tell({ outcome })
    tokens.answer('token', 'release', settle('done'), tell)
    tokens.answer('token', 'accept', settle('lost'), tell)
    tokens.answer('token', 'release', settle('lost'), tell)
    expect(told.map(({ outcome }) => outcome)).to.deep.equal(['done', 'lost', 'done'])
  })

  it('are those of Kafka for all who have said the same while it was asked', () => {
    let answer: TellResult | undefined
    for (let at = 0; at < 3; at++) tokens.answer('token', 'accept', one => (answer = one), tell)
    expect(told).to.deep.equal([])
    answer!({ outcome: 'unknown' })
    expect(told).to.deep.equal(Array(3).fill({ outcome: 'unknown' }))
  })
})
