import { expect } from 'chai'
import { DeliveryHarness, record } from '../../support/delivery-stage.js'

describe('delivery: where records are kept', () => {
  let harness: DeliveryHarness
  beforeEach(() => {
    harness = new DeliveryHarness({ orders: 1 })
  })
  afterEach(() => harness.restore())
  const accept = (durability?: 'disk' | 'memory') =>
    harness.delivery.accept([record('orders', 'A')], { partitioner: 'murmur2', deadlineMs: 1_000, durability })

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
