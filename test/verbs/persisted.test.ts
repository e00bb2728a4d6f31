import { expect } from 'chai'
import fc from 'fast-check'
import { type Certainty, certaintyOf, persistedText } from '../../src/verbs/persisted.js'
import { delivered, failure } from '../support/fake-verbs.js'

const certainty = fc.constantFrom<Certainty>('yes', 'no', 'unknown', 'pending')

describe('what x-castellan-persisted says', () => {
  it('is one word when all records agree, however many', () => {
    for (const word of ['yes', 'no', 'unknown', 'pending'] as const) {
      for (const count of [1, 2, 1_000, 100_000]) {
        expect(persistedText(new Array<Certainty>(count).fill(word))).to.equal(word)
      }
    }
  })

  it('is one letter per record in their order when they differ', () => {
    expect(persistedText(['yes', 'no', 'unknown', 'pending'])).to.equal('ynup')
    expect(persistedText(['no', 'yes'])).to.equal('ny')
  })

  it('is unknown above 1,000 records that differ', () => {
    const records = new Array<Certainty>(999).fill('yes')
    expect(persistedText([...records, 'no'])).to.equal(`${'y'.repeat(999)}n`)
    expect(persistedText([...records, 'yes', 'no'])).to.equal('unknown')
  })

  it('is yes for no records: nothing is missing from the log', () => {
    expect(persistedText([])).to.equal('yes')
  })

  it('can always be told apart: a word, or as many letters as records', () => {
    fc.assert(
      fc.property(fc.array(certainty, { minLength: 1, maxLength: 1_200 }), certainties => {
        const text = persistedText(certainties)
        if (new Set(certainties).size === 1) expect(text).to.equal(certainties[0])
        else if (certainties.length > 1_000) expect(text).to.equal('unknown')
        else expect([...text]).to.deep.equal(certainties.map(word => word[0]))
      })
    )
  })

  it('takes the certainty of a failure, and an acknowledgement for a yes', () => {
    expect(certaintyOf(delivered(0, -1))).to.equal('yes')
    expect(certaintyOf(failure('unknownTopic', 3))).to.equal('no')
    expect(certaintyOf({ ...failure('timedOut'), persisted: 'unknown' })).to.equal('unknown')
  })
})
