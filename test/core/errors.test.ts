import { expect } from 'chai'
import { CastellanError, OverloadedError } from '../../src/core/errors.js'

describe('an error of an overload', () => {
  it('says what is full, and has no stack, which would cost more than the rest of a refusal', () => {
    const error = new OverloadedError('the buffer is full')
    expect(error).to.be.instanceOf(CastellanError)
    expect(error.stack).to.not.contain('\n    at ')
    expect(String(error)).to.equal('OverloadedError: the buffer is full')
  })

  it('leaves other errors their stack', () => {
    new OverloadedError('the buffer is full', 'shuttingDown')
    expect(new Error('another').stack).to.contain('\n    at ')
  })
})
