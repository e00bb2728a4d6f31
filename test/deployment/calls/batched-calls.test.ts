import { expect } from 'chai'
import { batchedCalls } from '../../../src/deployment/calls/batched-calls.js'

describe('many small questions to another process', () => {
  let calls: (readonly number[])[]
  let answers: (batch: readonly number[]) => unknown
  let ask: (asked: number) => Promise<string>
  beforeEach(() => {
    calls = []
    answers = batch => batch.map(String)
    ask = batchedCalls<number, string>({
      name: 'calls of a test',
      call: async batch => {
        calls.push(batch)
        return answers(batch) as readonly string[]
      },
      failed: error => (error as Error).message,
      full: 'full',
      maxCalls: 1,
      maxOfCall: 2,
      maxWaiting: 3
    })
  })

  it('of one tick go together, at most so many in a call', async () => {
    expect(await Promise.all([1, 2, 3].map(ask))).to.deep.equal(['1', '2', '3'])
    expect(calls).to.deep.equal([[1, 2], [3]])
  })

  it('that may not wait are told so', async () => {
    expect(await Promise.all([1, 2, 3, 4].map(ask))).to.deep.equal(['1', '2', '3', 'full'])
  })

  it('have failed where the call has, and further ones go on', async () => {
    answers = () => Promise.reject(new Error('away'))
    expect(await ask(1)).to.equal('away')
    answers = batch => batch.map(String)
    expect(await ask(2)).to.equal('2')
  })
})
