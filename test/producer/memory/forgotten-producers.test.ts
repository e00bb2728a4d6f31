import { expect } from 'chai'
import { DeliveryStage, record, resultsOf } from '../../support/delivery-stage.js'

const TWO_DAYS_MS = 2 * 24 * 3_600_000

describe('delivery: a batch in memory whose answer was lost, and whose producer Kafka has forgotten', () => {
  let stage: DeliveryStage
  beforeEach(async () => {
    stage = new DeliveryStage({ orders: 1 })
    stage.clock.setSystemTime(1_000 * TWO_DAYS_MS)
    await stage.warmUp('orders', 0)
  })
  afterEach(() => stage.restore())

  const old = (value: string) => ({ ...record('orders', value, 0), timestampMs: Date.now() - TWO_DAYS_MS })

  it('is found in the log where its records have the time of long ago, by which Kafka forgets', async () => {
    const partition = stage.router.partition('orders', 0)
    partition.script.push({ type: 'loseResponse' })
    const sent = stage.send([old('A'), old('B')])
    await stage.pass(2)
    partition.forgetProducers()
    await stage.pass(1_000)
    expect(resultsOf(sent)).to.deep.equal(['delivered', 'delivered'])
    expect(stage.metrics.of('found_batches')).to.equal(1)
    const next = stage.send(record('orders', 'C', 0))
    await stage.pass(1_000)
    expect(resultsOf(next)).to.deep.equal(['delivered'])
    expect(partition.values).to.deep.equal(['warm-up', 'A', 'B', 'C'])
  })

  it('is given up at the end of its time when it cannot be looked for, and what comes behind it goes on', async () => {
    const partition = stage.router.partition('orders', 0)
    stage.router.readRefusal = { errorCode: -1, retriable: true }
    partition.script.push({ type: 'loseResponse' }, { type: 'hold' })
    const sent = stage.send(old('A'), 200_000)
    await stage.pass(2)
    partition.forgetProducers()
    await stage.pass(125_000)
    expect(resultsOf(sent)).to.deep.equal(['timedOut, unknown'])
    const next = stage.send(record('orders', 'B', 0))
    await stage.pass(1_000)
    expect(resultsOf(next)).to.deep.equal(['delivered'])
  })
})
