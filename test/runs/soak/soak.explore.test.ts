import { expect } from 'chai'
import { testSeed } from '../../support/random.js'
import { runSoak } from './run-soak.js'

// `node --import tsx test/runs/soak/soak.ts` is the long one, which looks at the memory as well.
describe('soak', function () {
  this.timeout(240_000)

  it('answers every request while brokers fail at random', async () => {
    const seed = testSeed()
    console.log(`      soak seed ${seed}`)
    const report = await runSoak({ seed, seconds: 8, clients: 100, onSample: () => undefined })
    expect(report.sent).to.be.greaterThan(100)
    expect([report.answered, report.exitCode]).to.deep.equal([report.sent, 0])
    expect(Object.keys(report.faultsFired)).to.have.length.greaterThan(3)
  })
})
