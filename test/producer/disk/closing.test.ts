import { expect } from 'chai'
import { DurableHarness } from '../durable-stage.js'

describe('durable: the end of delivery from the log', () => {
  let harness: DurableHarness
  afterEach(() => harness.restore())

  it('leaves no timer while brokers refuse a producer id', async () => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    harness.router.producerIdRefusal = 31
    await harness.start()
    harness.send({ topic: 'orders', key: null, value: 'A' })
    await harness.pass(2_500)
    const closing = harness.delivery.close(0)
    await harness.pass(0)
    await closing
    await harness.queue.close()
    expect(harness.clock.countTimers()).to.equal(0)
  })
})
