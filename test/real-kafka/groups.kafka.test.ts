import { expect } from 'chai'
import { testSeed } from '../support/random.js'
import { runGroups } from './groups/run-groups.js'
import { runningKafka } from './shared-cluster.js'

describe('a group whose processes and brokers are killed', () => {
  it('processes each record at least once, and commits nothing that was not processed, and never backwards', async function () {
    this.timeout(240_000)
    const seed = testSeed()
    const say = (line: string): void => console.log(`      ${line}`)
    say(`seed ${seed} (TEST_SEED repeats it)`)
    const { problems, summary } = await runGroups({
      cluster: runningKafka(),
      seed,
      records: 30_000,
      partitions: 6,
      processes: 3,
      processEnds: 5,
      brokerKills: 1,
      pauseMs: { from: 3_000, to: 6_000 },
      settings: { start: 'earliest', sessionTimeoutMs: 6_000, heartbeatIntervalMs: 500, revocationMs: 500 },
      say
    })
    say(summary)
    expect(problems, `seed ${seed}`).to.deep.equal([])
  })
})
