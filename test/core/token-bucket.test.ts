import { expect } from 'chai'
import { TokenBucket } from '../../src/core/token-bucket.js'

describe('core: a budget per second', () => {
  it('may be spent at once after a quiet second, and fills again evenly', () => {
    const bucket = new TokenBucket(10, 1_000)
    expect([bucket.available(1_000), bucket.untilNextMs(1_000)]).to.deep.equal([10, 0])
    expect([bucket.take(4, 1_000), bucket.take(9, 1_000), bucket.take(1, 1_000)]).to.deep.equal([4, 6, 0])
    expect(bucket.untilNextMs(1_000)).to.equal(100)
    expect(bucket.untilNextMs(1_040)).to.be.closeTo(60, 1e-6)
    expect([bucket.available(1_099), bucket.available(1_100)]).to.deep.equal([0, 1])
    expect(bucket.available(1_350)).to.equal(3)
    expect(bucket.available(60_000), 'no more than a second saves').to.equal(10)
  })
})
