import { expect } from 'chai'
import { record } from '../../support/delivery-stage.js'
import { DurableHarness } from '../durable-stage.js'

describe('durable: another cluster', () => {
  let harness: DurableHarness
  beforeEach(async () => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    await harness.start()
    harness.send(record('orders', 'A'))
    await harness.pass(100)
  })
  afterEach(() => harness.restore())
  const change = (before: string | undefined, now: string): void => harness.delivery.clusterChanged({ before, now })
  const attempts = () =>
    harness.router.partition('orders', 0).attempts.map(({ baseSequence, count, bytes }) => ({
      producerId: bytes.readBigInt64BE(43),
      baseSequence,
      count
    }))
  const follows = (): number => harness.router.messages.filter(({ type }) => type === 'followTopics').length

  it('gives a producer id of its own, and is asked for its topics', async () => {
    const before = follows()
    harness.router.wipe({ orders: 1 })
    change('cluster-1', 'cluster-2')
    expect(harness.delivery.clusterId).to.equal('cluster-2')
    harness.send(record('orders', 'B'))
    await harness.pass(1_000)
    expect(harness.router.values('orders')).to.deep.equal(['B'])
    expect(attempts()).to.deep.equal([{ producerId: 2n, baseSequence: 0, count: 1 }])
    expect(follows()).to.be.above(before)
  })

  it('is no other one when the first is connected: numbers go on', async () => {
    const before = follows()
    change(undefined, 'cluster-1')
    harness.send(record('orders', 'B'))
    await harness.pass(1_000)
    expect(attempts()).to.deep.equal([
      { producerId: 1n, baseSequence: 0, count: 1 },
      { producerId: 1n, baseSequence: 1, count: 1 }
    ])
    expect(follows()).to.equal(before)
  })

  it('gets what was on its way to the former one, once', async () => {
    harness.router.partition('orders', 0).script.push({ type: 'hold' })
    harness.send(record('orders', 'B'))
    await harness.pass(100)
    harness.send(record('orders', 'C'))
    harness.router.wipe({ orders: 1 })
    change('cluster-1', 'cluster-2')
    await harness.pass(10_000)
    expect(harness.router.values('orders')).to.deep.equal(['B', 'C'])
    expect(attempts().every(({ producerId }) => producerId === 2n)).to.equal(true)
    expect((await harness.queue.log!.look()).openEntries).to.equal(0)
  })
})
