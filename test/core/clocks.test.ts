import { expect } from 'chai'
import { aheadMsOf } from '../../src/core/clocks.js'

describe('the clock of another machine', () => {
  it('differs by nothing where what it has told may be the time of this machine at that moment', () => {
    for (const own of [1_000, 1_500, 2_000]) expect(aheadMsOf(1_000, own, 1_000), String(own)).to.equal(0)
  })

  it('is behind by what is left beyond that time, and ahead by all of the difference', () => {
    expect(aheadMsOf(1_000, 12_000, 1_000)).to.equal(10_000)
    expect(aheadMsOf(12_000, 1_000, 5_000)).to.equal(-11_000)
  })
})
