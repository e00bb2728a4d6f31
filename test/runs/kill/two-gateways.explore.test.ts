import { expect } from 'chai'
import { testSeed } from '../../support/random.js'
import { targetCluster } from '../../support/target-cluster.js'
import { describeRun, runTwoGateways } from './two-gateways.js'

/** A glance at what `npm run test:kill:gateways` does. */
describe('two gateways that are killed while clients use either of them', function () {
  this.timeout(300_000)

  it('give every record to each group, commit nothing that was not given, and know each instance', async () => {
    const cluster = await targetCluster()
    const seed = testSeed()
    try {
      const options = { seconds: 15, kills: 2, brokerKills: 1, instances: 8, pixyGroups: 4 }
      const result = await runTwoGateways({ ...options, cluster, seed, say: () => undefined })
      expect(result.problems, `seed ${seed}\n${describeRun(result)}`).to.deep.equal([])
      expect(result.kills).to.equal(2)
      expect(result.written).to.be.above(100)
      expect(result.commitChecks).to.be.above(0)
    } finally {
      await cluster.close()
    }
  })
})
