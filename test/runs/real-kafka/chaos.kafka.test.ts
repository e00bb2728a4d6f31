import { expect } from 'chai'
import { testSeed } from '../../support/random.js'
import { problems, report, runChaos } from './chaos/run-chaos.js'
import { runningKafka } from './shared-cluster.js'

describe('chaos', () => {
  async function chaos(seconds: number): Promise<void> {
    const seed = testSeed()
    const say = (line: string): void => console.log(`      ${line}`)
    say(`seed ${seed} (TEST_SEED repeats it)`)
    const result = await runChaos({
      cluster: runningKafka(),
      seconds,
      seed,
      controllerOnly: false,
      gatewayFlags: [],
      say
    })
    say(report(result).replaceAll('\n', '\n      '))
    expect(problems(result), `seed ${seed}`).to.deep.equal([])
  }

  it('loses, repeats, reorders and invents nothing in half a minute of kills, pauses, restarts and leader moves', async function () {
    this.timeout(240_000)
    await chaos(30)
  })
})
