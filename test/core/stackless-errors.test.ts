import { expect } from 'chai'
import { StacklessError } from '../../src/core/errors.js'
import { DeserializeError } from '../../src/core/json/json-reader.js'
import { ApiError } from '../../src/http/api/api-answers.js'

describe('errors that bytes of clients cause in large numbers', () => {
  for (const error of [new StacklessError('wrong'), new DeserializeError('wrong'), new ApiError(400, 'wrong')]) {
    it(`${error.constructor.name} has a message and no stack`, () => {
      expect(error.message).to.equal('wrong')
      expect(error.stack).to.match(/^\w+: wrong$/)
    })
  }

  it('leave the stacks of other errors as they are', () => {
    new StacklessError('wrong')
    expect(new Error('a bug').stack).to.contain('stackless-errors.test')
  })
})
