import { expect } from 'chai'
import { testSeed } from '../../support/random.js'
import { sayWithTime } from '../tool.js'
import { runningKafka } from './shared-cluster.js'
import { WebhookRun } from './webhook-run/webhook-run.js'

/** For more: `WEBHOOK_RECORDS=100000 WEBHOOK_AWAY_MS=300000 WEBHOOK_FAULTS=2`. */
const records = Number(process.env.WEBHOOK_RECORDS || 5_000)
const awayMs = Number(process.env.WEBHOOK_AWAY_MS || 10_000)
const times = Number(process.env.WEBHOOK_FAULTS || 1)
const faults = {
  'kill a gateway': 2 * times,
  'kill a broker': times,
  'stop a gateway for longer than a lock': times,
  'move leaders': 2 * times,
  'restart all gateways, one after another': 1
}

describe('a webhook of two gateways, with faults, on real Kafka', function () {
  this.timeout(3_600_000)

  it('delivers each record, or gives it up by a dead letter, in the order of its key', async () => {
    const seed = testSeed()
    const say = sayWithTime()
    const options = { cluster: runningKafka(), records, faults, awayMs, seed, say }
    const { problems, figures } = await new WebhookRun(options).run()
    say(`seed ${seed}: ${JSON.stringify(figures, null, 1)}`)
    expect(problems).to.deep.equal([])
  })
})
