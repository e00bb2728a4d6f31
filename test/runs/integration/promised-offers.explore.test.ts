import { expect } from 'chai'
import { testSeed } from '../../support/random.js'
import { type TargetCluster, targetCluster } from '../../support/target-cluster.js'
import { runOfferChaos } from './offer-chaos/run-offer-chaos.js'

describe('chaos: groups that ask for topics before these exist', function () {
  this.timeout(480_000)
  let cluster: TargetCluster
  before(async () => (cluster = await targetCluster()))
  after(async () => await cluster.close())

  it('are offered every record that was acknowledged after their first answer, whatever happens to topics, brokers and members', async () => {
    const seed = testSeed()
    const story: string[] = [`seed ${seed} (TEST_SEED repeats its choices)`]
    // Real brokers take long to lose the end of a log in an honest way.
    const rounds = cluster.kind === 'embedded' ? 2 : 1
    const { problems, summary } = await runOfferChaos({ cluster, seed, rounds, say: line => story.push(line) })
    console.log(`      ${story[0]}: ${summary.replaceAll('\n', '\n      ')}`)
    if (problems.length > 0) console.log(story.join('\n'))
    expect(problems, `seed ${seed}`).to.deep.equal([])
  })
})
