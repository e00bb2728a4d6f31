import { expect } from 'chai'
import { testSeed } from '../support/random.js'
import { runSoak } from './run-soak.js'

// `node --expose-gc --import tsx test/soak/soak.ts` is the long one, which looks at the growth of memory as well.
describe('soak', function () {
  this.timeout(240_000)

  it('answers every request once while brokers fail at random', async () => {
    const seed = testSeed()
    console.log(`      soak seed ${seed}`)
    const report = await runSoak({ seed, seconds: 8, actors: 300 })
    expect(report.sent).to.be.greaterThan(1_000)
    expect(report.waiting).to.deep.equal([])
    expect({ answered: report.answered, doubled: report.doubled }).to.deep.equal({ answered: report.sent, doubled: 0 })
    expect(report.cacheMaxBytes).to.be.within(1, report.cacheBound)
    expect(Object.keys(report.faultsFired)).to.have.length.greaterThan(3)
    expect(report.records).to.be.greaterThan(0)
  })
})
