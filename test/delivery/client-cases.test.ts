import { expect } from 'chai'
import { DeliveryHarness, record } from '../support/delivery-harness.js'

describe('delivery: the cases clients get wrong', () => {
  let harness: DeliveryHarness
  beforeEach(() => {
    harness = new DeliveryHarness({ orders: 2 })
  })
  afterEach(() => harness.restore())

  const offsetsOf = (sent: ReturnType<DeliveryHarness['send']>) =>
    sent.outcomes?.map(outcome => (outcome.type === 'delivered' ? outcome.offset : outcome.code))

  it('S1: appended but answered NOT_ENOUGH_REPLICAS_AFTER_APPEND, two concurrent records', async () => {
    const { script, attempts, log } = harness.router.partition('orders', 0)
    script.push({ type: 'appendThenReject', errorCode: 20 })
    const first = harness.send(record('orders', 'A', 0))
    await harness.pass(0)
    const second = harness.send(record('orders', 'B', 0))
    await harness.pass(2_000)
    expect(harness.router.partition('orders', 0).values).to.deep.equal(['A', 'B'])
    expect([offsetsOf(first), offsetsOf(second)]).to.deep.equal([[0], [1]])
    expect(attempts[1]!.bytes).to.deep.equal(attempts[0]!.bytes)
    expect(log).to.have.length(2)
  })

  it('S2: the response is lost after the append', async () => {
    const partition = harness.router.partition('orders', 0)
    partition.script.push({ type: 'loseResponse' })
    const first = harness.send(record('orders', 'A', 0))
    await harness.pass(0)
    const second = harness.send(record('orders', 'B', 0))
    await harness.pass(2_000)
    expect(partition.values).to.deep.equal(['A', 'B'])
    expect([offsetsOf(first), offsetsOf(second)]).to.deep.equal([[0], [1]])
  })
})
