import { expect } from 'chai'
import { record } from '../../support/delivery-stage.js'
import { DurableStage } from '../durable-stage.js'

describe('durable: another cluster', () => {
  let stage: DurableStage
  beforeEach(async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    stage.send(record('orders', 'A'))
    await stage.pass(100)
  })
  afterEach(() => stage.restore())
  const change = (before: string | undefined, now: string): void => stage.delivery.clusterChanged({ before, now })
  const attempts = () =>
    stage.router.partition('orders', 0).attempts.map(({ baseSequence, count, bytes }) => ({
      producerId: bytes.readBigInt64BE(43),
      baseSequence,
      count
    }))
  const follows = (): number => stage.router.messages.filter(({ type }) => type === 'followTopics').length

  it('gives a producer id of its own, and is asked for its topics', async () => {
    const before = follows()
    stage.router.wipe({ orders: 1 })
    change('cluster-1', 'cluster-2')
    stage.send(record('orders', 'B'))
    await stage.pass(1_000)
    expect(stage.router.values('orders')).to.deep.equal(['B'])
    expect(attempts()).to.deep.equal([{ producerId: 2n, baseSequence: 0, count: 1 }])
    expect(follows()).to.be.above(before)
  })

  it('is no other one when the first is connected: numbers go on', async () => {
    const before = follows()
    change(undefined, 'cluster-1')
    stage.send(record('orders', 'B'))
    await stage.pass(1_000)
    expect(attempts()).to.deep.equal([
      { producerId: 1n, baseSequence: 0, count: 1 },
      { producerId: 1n, baseSequence: 1, count: 1 }
    ])
    expect(follows()).to.equal(before)
  })

  it('gets what was on its way to the former one, once', async () => {
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    stage.send(record('orders', 'B'))
    await stage.pass(100)
    stage.send(record('orders', 'C'))
    stage.router.wipe({ orders: 1 })
    change('cluster-1', 'cluster-2')
    await stage.pass(10_000)
    expect(stage.router.values('orders')).to.deep.equal(['B', 'C'])
    expect(attempts().every(({ producerId }) => producerId === 2n)).to.equal(true)
    expect((await stage.backlog.log!.look()).openEntries).to.equal(0)
  })
})
