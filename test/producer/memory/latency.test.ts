import { expect } from 'chai'
import { DeliveryStage, record } from '../../support/delivery-stage.js'

const KIB = 1024

describe('delivery: where the time of a record goes', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  it('tells how long a batch waited in its partition, and a record for capacity', async () => {
    stage = new DeliveryStage({ orders: 1 }, { maxBytes: 400 * KIB, maxPartitionBytes: 50 * KIB })
    await stage.warmUp('orders', 0)
    const { metrics } = stage
    const [batches, partitionMs] = [metrics.timesOf('partition_wait'), metrics.millisecondsOf('partition_wait')]
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    stage.send(record('orders', 'held', 0))
    await stage.pass(10)
    for (let at = 0; at < 5; at++) stage.send(record('orders', 'x'.repeat(10 * KIB), 0), 30_000, 1_000)
    expect(metrics.timesOf('capacity_wait')).to.equal(0)
    await stage.pass(300)
    stage.router.release()
    await stage.pass(100)
    expect(metrics.timesOf('capacity_wait')).to.equal(1)
    expect(metrics.millisecondsOf('capacity_wait')).to.be.within(300, 400)
    expect(metrics.timesOf('partition_wait') - batches).to.be.within(2, 4)
    expect(metrics.millisecondsOf('partition_wait') - partitionMs).to.be.within(300, 1_000)
  })
})
