import { expect } from 'chai'
import { errorCodes, kafkaErrorOf } from '../../src/wire/error-codes.js'

describe('kafkaErrorOf', () => {
  it('knows every code from -1 to 133 without a gap', () => {
    expect(Object.values(errorCodes)).to.deep.equal(Array.from({ length: 135 }, (_, index) => index - 1))
  })

  it('is total: a code it does not know is retriable and keeps its number', () => {
    for (const code of [-2, 134, 255, 32767]) {
      expect(kafkaErrorOf(code)).to.deep.include({ code, retriable: true })
      expect(kafkaErrorOf(code).message).to.contain(String(code))
    }
  })

  it('lets only what may pass be retried', () => {
    expect([-1, 2, 3, 5, 6, 7, 14, 15, 16, 19, 20, 56].every(code => kafkaErrorOf(code).retriable)).to.equal(true)
    expect([1, 10, 17, 18, 22, 25, 29, 45, 47, 87].some(code => kafkaErrorOf(code).retriable)).to.equal(false)
  })

  it('says name, code and cause', () => {
    expect(kafkaErrorOf(6).message).to.equal('NOT_LEADER_OR_FOLLOWER (6): another broker leads the partition now')
  })
})
