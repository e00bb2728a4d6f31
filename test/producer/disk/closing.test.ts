import { expect } from 'chai'
import { DurableStage } from '../durable-stage.js'

describe('durable: the end of delivery from the log', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  it('leaves no timer while brokers refuse a producer id', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    stage.router.producerIdRefusal = 31
    await stage.start()
    stage.send({ topic: 'orders', key: null, value: 'A' })
    await stage.pass(2_500)
    const closing = stage.delivery.close(0)
    await stage.pass(0)
    await closing
    await stage.queue.close()
    expect(stage.clock.countTimers()).to.equal(0)
  })
})
