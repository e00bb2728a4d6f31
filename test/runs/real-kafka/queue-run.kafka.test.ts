import { expect } from 'chai'
import { testSeed } from '../../support/random.js'
import { sayWithTime } from '../tool.js'
import { kafkaVersion } from './jars.js'
import { runQueue } from './queue-run/queue-run.js'
import { runningKafka } from './shared-cluster.js'

/** For more: `QUEUE_MESSAGES=100000 QUEUE_FAULTS=5`. */
const messages = Number(process.env.QUEUE_MESSAGES || 5_000)
const times = Number(process.env.QUEUE_FAULTS || 1)
const faults = {
  'kill a gateway': 2 * times,
  'kill a broker': times,
  'stop a gateway for longer than a lock': times,
  'move leaders': times,
  'restart all gateways, one after another': 1
}

describe('the run of a queue of two gateways, with 40 clients and faults, on real Kafka', function () {
  this.timeout(3_600_000)
  before(function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
  })

  it('accepts each message for one client, and loses none untold', async () => {
    const seed = testSeed()
    const hasDeadLetters = !kafkaVersion.startsWith('4.2') && !kafkaVersion.startsWith('4.3')
    const say = sayWithTime()
    const verdict = await runQueue({ cluster: runningKafka(), messages, faults, hasDeadLetters, seed, say })
    say(`seed ${seed}: ${JSON.stringify(verdict.figures, null, 1)}`)
    for (const [message, why] of verdict.archived) if (!/told/.test(why)) say(`${message} was archived: ${why}`)
    expect(verdict.problems).to.deep.equal([])
  })
})
