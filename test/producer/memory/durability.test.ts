import { expect } from 'chai'
import { DeliveryStage, record } from '../../support/delivery-stage.js'

describe('delivery: where records are kept', () => {
  let stage: DeliveryStage
  beforeEach(() => {
    stage = new DeliveryStage({ orders: 1 })
  })
  afterEach(() => stage.restore())
  const accept = (durability?: 'disk' | 'memory') =>
    stage.delivery.accept([record('orders', 'A')], { partitioner: 'murmur2', deadlineMs: 1_000, durability })

  it('accepts records in memory at once', async () => {
    const pendingProduce = accept()
    expect(pendingProduce.refused).to.equal(undefined)
    expect(await pendingProduce.accepted()).to.equal(undefined)
  })

  it('does not say that a record is on disk where there is no durable log', async () => {
    const pendingProduce = accept('disk')
    expect(pendingProduce.refused?.[0]).to.include({ code: 'logUnavailable', persisted: 'no', retriable: true })
    expect((await pendingProduce.accepted())?.[0]).to.include({ code: 'logUnavailable' })
  })
})
