import { expect } from 'chai'
import { shuffled } from './random.js'

describe('the order in which test files run', () => {
  const files = Array.from({ length: 100 }, (_, at) => `file ${at}`)

  it('has every file once, and is the same for the same seed', () => {
    expect(shuffled(files, 7)).to.have.members(files)
    expect(shuffled(files, 7)).to.deep.equal(shuffled(files, 7))
    expect(shuffled(files, 7)).not.to.deep.equal(shuffled(files, 8))
    expect(shuffled(files, 7)).not.to.deep.equal(files)
  })
})
